"""The online baselines without meta-learning: each against a loop of plain autograd that holds its own memory.

Streams of three small tasks in float64, with outputs that tasks share (domain-incremental) or that are known by task.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, cross_entropy
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.a_gem import AGem
from metacl_run.algorithms.online.der_pp import DerPlusPlus
from metacl_run.algorithms.online.er import Replay
from metacl_run.algorithms.online.er_ace import AsymmetricReplay
from metacl_run.algorithms.online.ewc import Ewc
from metacl_run.algorithms.online.ewc_pp import EwcPlusPlus
from metacl_run.algorithms.online.gem import Gem
from metacl_run.algorithms.online.gradient_learner import GradientLearner
from metacl_run.algorithms.online.lwf import LearningWithoutForgetting
from metacl_run.algorithms.online.mas import MemoryAwareSynapses
from metacl_run.algorithms.online.mir import MaximallyInterfered
from metacl_run.algorithms.online.replay_buffer import ReplayBuffer
from metacl_run.algorithms.online.rwalk import RiemannianWalk
from metacl_run.algorithms.online.si import SynapticIntelligence
from metacl_run.algorithms.online.stream_learner import StreamLearner
from metacl_run.config.components import fill
from metacl_run.core.errors import ConfigError, prefix_field_errors
from metacl_run.core.types import Observation, Samples
from metacl_run.inner import single_samples
from metacl_run.models.network import Network
from metacl_run.models.running_norm import RunningBatchNorm
from tests.algorithms.online.slow_loops import (
    BATCH,
    OUTPUTS,
    PER_TASK,
    TASKS,
    Slow,
    SlowAGem,
    SlowDerPp,
    SlowErAce,
    SlowGem,
    SlowLwf,
    SlowMir,
    SlowReplay,
    Toy,
    toy,
)
from tests.algorithms.online.slow_penalties import SlowEwc, SlowEwcPlusPlus, SlowMas, SlowSi
from tests.support.settings import PLAIN_SGD

EWC = Ewc(batch_size=BATCH, lr=0.1, **PLAIN_SGD, strength=3.0, fisher_samples=7, decay=None, fisher="mean_of_squares")
SI = SynapticIntelligence(batch_size=BATCH, lr=0.2, **PLAIN_SGD, strength=0.7, damping=0.01)
MAS = MemoryAwareSynapses(
    batch_size=BATCH, lr=0.1, **PLAIN_SGD, strength=0.2, importance_samples=7, importance_batch=1, accumulate=True
)
LAST_MAS = dataclasses.replace(MAS, importance_samples=6, importance_batch=3, accumulate=False)
EWC_PP = EwcPlusPlus(batch_size=BATCH, lr=0.1, **PLAIN_SGD, strength=2.0, interval=2, fisher_rate=0.7)
RWALK = RiemannianWalk(
    batch_size=BATCH, lr=0.1, **PLAIN_SGD, strength=2.0, interval=2, fisher_rate=0.7, damping=0.001, earlier_scores=0.5
)
LWF = LearningWithoutForgetting(batch_size=BATCH, lr=0.3, **PLAIN_SGD, strength=1.5, temperature=2.0)
A_GEM = AGem(batch_size=BATCH, lr=0.4, **PLAIN_SGD, updates=1, memories_per_task=4, buffer="last", replay=6)
GEM = Gem(batch_size=BATCH, lr=0.4, **PLAIN_SGD, updates=1, memories_per_task=4, margin=0.0, damping=0.0)
DER_PP = DerPlusPlus(batch_size=BATCH, lr=0.2, **PLAIN_SGD, alpha=0.6, beta=0.8, memory=5, buffer="reservoir", replay=4)
ER = Replay(batch_size=BATCH, lr=0.2, **PLAIN_SGD, updates=2, memory=5, buffer="reservoir", replay=4, source="stream")
BUFFER: dict[str, Any] = {"batch_size": BATCH, "lr": 0.2, **PLAIN_SGD, "updates": 2, "buffer": "reservoir"}
ER_ACE = AsymmetricReplay(**BUFFER, memory=5, replay=4)
MIR = MaximallyInterfered(**BUFFER, memory=7, candidates=5, replay=2)
ALGORITHMS: dict[str, StreamLearner] = {
    "ewc": EWC,
    "ewc_square_of_mean": dataclasses.replace(EWC, fisher="square_of_mean"),
    "ewc_expected": dataclasses.replace(EWC, fisher="expected"),
    "online_ewc": dataclasses.replace(EWC, decay=0.6),
    "si": SI,
    "mas": MAS,
    "mas_of_the_last_task": LAST_MAS,
    "ewc_pp": EWC_PP,
    "ewc_pp_whose_interval_ends_no_task": dataclasses.replace(EWC_PP, interval=3),
    "rwalk": RWALK,
    "rwalk_whose_interval_ends_no_task": dataclasses.replace(RWALK, interval=3),
    "rwalk_of_single_updates": dataclasses.replace(RWALK, interval=1, earlier_scores=1.5),
    "lwf": LWF,
    "a_gem": A_GEM,
    "a_gem_ring": dataclasses.replace(A_GEM, memories_per_task=6, buffer="ring"),
    "gem": GEM,
    "gem_margin": dataclasses.replace(GEM, margin=0.3),
    "gem_damped": dataclasses.replace(GEM, margin=0.1, damping=0.2),
    "der_pp": DER_PP,
    "er": ER,
    "er_ace": ER_ACE,
    "mir": MIR,
    "er_ring": dataclasses.replace(ER, memory=18, buffer="ring"),
    "joint": dataclasses.replace(ER, memory=0, replay=0, source="seen"),
    "multitask": dataclasses.replace(ER, memory=0, replay=0, source="all"),
    "adam": dataclasses.replace(ER, optimizer="adam", lr=0.01),
    "a_gem_glances": dataclasses.replace(A_GEM, updates=3, lr=0.2),
    "gem_glances": dataclasses.replace(GEM, updates=2, lr=0.2, margin=0.3),
    "si_clipped_momentum": dataclasses.replace(SI, momentum=0.7, clip_norm=0.3),
}
WITH_ADAM = ("ewc", "si", "rwalk", "lwf", "a_gem", "gem", "der_pp", "er_ace", "mir")
ALGORITHMS |= {f"{name}_momentum": dataclasses.replace(ALGORITHMS[name], momentum=0.7) for name in ("er", "si", "gem")}
CLIPPED = ("ewc", "si", "a_gem", "gem", "er", "er_ace")
ALGORITHMS |= {f"{name}_clipped": dataclasses.replace(ALGORITHMS[name], clip_norm=0.5) for name in CLIPPED}
DECAYED = ("er", "er_momentum", "er_clipped", "adam", "si", "gem", "a_gem", "lwf", "der_pp", "ewc")
ALGORITHMS |= {f"{name}_decayed": dataclasses.replace(ALGORITHMS[name], weight_decay=0.1) for name in DECAYED}
ALGORITHMS |= {f"{name}_adam": dataclasses.replace(ALGORITHMS[name], optimizer="adam", lr=0.02) for name in WITH_ADAM}
SLOW: dict[type, type[Slow]] = {
    Ewc: SlowEwc,
    SynapticIntelligence: SlowSi,
    MemoryAwareSynapses: SlowMas,
    EwcPlusPlus: SlowEwcPlusPlus,
    RiemannianWalk: SlowEwcPlusPlus,
    LearningWithoutForgetting: SlowLwf,
    AGem: SlowAGem,
    Gem: SlowGem,
    DerPlusPlus: SlowDerPp,
    Replay: SlowReplay,
    AsymmetricReplay: SlowErAce,
    MaximallyInterfered: SlowMir,
}


def follow(algorithm: StreamLearner, data: Toy, seen: Callable[[int, dict, dict], None]) -> None:
    """Learns the stream, ends of tasks included; `seen` is called after every observation with its number, state, metrics."""
    network, state = data.network, algorithm.init(data.network, data.params, TASKS)
    for unit, observed in enumerate(data.observations(algorithm)):
        state, metrics = algorithm.observe(network, state, observed)
        seen(unit, state, metrics)
        if (unit + 1) * BATCH % PER_TASK == 0:
            samples = data.of_task(unit * BATCH // PER_TASK, algorithm.num_consolidation_samples)
            state = algorithm.end_task(network, state, samples)


STREAMS = {"domains": {}, "classes": {"growing": True}, "outputs_by_task": {"masked": True}, "real": {"real": True}}
OF_CLASSES = LearningWithoutForgetting, AsymmetricReplay
BY_CLASS = "a_gem_ring", "er_ring"
CASES = [
    *itertools.product(ALGORITHMS, ["domains", "outputs_by_task"]),
    *((name, "classes") for name in ("lwf", "er_ace")),
    *((name, "real") for name in ALGORITHMS if name not in BY_CLASS and not isinstance(ALGORITHMS[name], OF_CLASSES)),
]


@pytest.mark.parametrize(("name", "stream"), CASES)
def test_every_update_equals_the_slow_loop(name: str, stream: str) -> None:
    algorithm, data = ALGORITHMS[name], toy(**STREAMS[stream])
    slow, observations = SLOW[type(algorithm)](algorithm, data), data.observations(algorithm)

    def compare(unit: int, state: dict, metrics: dict) -> None:
        # with replayed samples or several steps the loss is not that of the batch alone
        if isinstance(algorithm, DerPlusPlus) or (
            not isinstance(algorithm, ReplayBuffer) and getattr(algorithm, "updates", 1) == 1
        ):
            expected = slow.loss(observations[unit].batch)
            torch.testing.assert_close(metrics["loss"], expected.detach(), rtol=1e-9, atol=1e-12)
        slow.observe(observations[unit])
        for key, value in slow.now().items():
            torch.testing.assert_close(
                state["params"][key],
                value,
                rtol=1e-6 if name.startswith("gem") else 1e-9,
                atol=1e-7 if name.startswith("gem") else 1e-10,
            )
        if (unit + 1) * BATCH % PER_TASK == 0:
            task = unit * BATCH // PER_TASK
            slow.end_task(task, data.of_task(task, algorithm.num_consolidation_samples))

    follow(algorithm, data, compare)
    if isinstance(algorithm, (AGem, Gem)):
        after_the_first = algorithm.updates * len(observations) * (TASKS - 1) / TASKS
        assert 0 < slow.corrected < after_the_first  # some gradients were projected and some not
    if isinstance(algorithm, GradientLearner) and algorithm.clip_norm is not None:
        assert slow.clipped > len(observations) / 10
    if isinstance(algorithm, MaximallyInterfered):
        assert slow.corrected > len(observations) / 2
    if isinstance(algorithm, DerPlusPlus):
        assert slow.corrected > 0  # some place was written again


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name not in {f"{one}_adam" for one in WITH_ADAM[1:]}])
def test_replicates_side_by_side_equal_each_alone_where_outputs_belong_to_tasks(name: str) -> None:
    algorithm, both = ALGORITHMS[name], [toy(seed, masked=True) for seed in (3, 4)]
    network = both[0].network
    states = [algorithm.init(network, data.params, TASKS) for data in both]
    together = tree_map(lambda *leaves: torch.stack(leaves), *states)
    rows = zip(*(data.observations(algorithm) for data in both), strict=True)
    for unit, pair in enumerate(rows):
        stacked = tree_map(lambda *leaves: torch.stack(leaves), *pair)
        together, metrics = torch.vmap(lambda state, observed: algorithm.observe(network, state, observed))(together, stacked)
        for i, observed in enumerate(pair):
            states[i], alone = algorithm.observe(network, states[i], observed)
            torch.testing.assert_close(metrics["loss"][i], alone["loss"], rtol=1e-12, atol=1e-12)
        if (unit + 1) * BATCH % PER_TASK == 0:
            task = unit * BATCH // PER_TASK
            ends = [data.of_task(task, algorithm.num_consolidation_samples) for data in both]
            stacked = tree_map(lambda *leaves: torch.stack(leaves), *ends)
            together = torch.vmap(lambda state, samples: algorithm.end_task(network, state, samples))(together, stacked)
            states = [algorithm.end_task(network, state, samples) for state, samples in zip(states, ends, strict=True)]
    near = 1e-9 if name.endswith("adam") else 1e-12  # Adam makes a large step of a gradient that is all rounding
    for i, state in enumerate(states):
        tree_map(lambda a, b: torch.testing.assert_close(a[i], b, rtol=near, atol=near), together, state)  # noqa: B023


# --------------------------------------------------------------------------------------------------- EWC, LwF: by themselves


def test_fisher_is_the_same_however_many_gradients_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = toy()
    state, samples = EWC.init(data.network, data.params, TASKS), data.of_task(0, 7)
    at_once = EWC.end_task(data.network, state, samples)
    monkeypatch.setattr(single_samples, "GRADIENTS_AT_ONCE", 3)
    in_parts = EWC.end_task(data.network, state, samples)
    tree_map(lambda a, b: torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15), in_parts, at_once)


@pytest.mark.parametrize("algorithm", [EWC, SI, MAS, EWC_PP, RWALK, LWF], ids=["ewc", "si", "mas", "ewc_pp", "rwalk", "lwf"])
def test_the_first_task_is_plain_sgd(algorithm: Any) -> None:
    data = toy()
    slow, observations = Slow(algorithm, data), data.observations(algorithm)
    differences = []

    def compare(unit: int, state: dict, metrics: dict) -> None:
        slow.step(slow.loss(observations[unit].batch))
        pairs = [(state["params"][name], value) for name, value in slow.now().items()]
        differences.append(max((a - b).abs().max().item() for a, b in pairs))

    follow(algorithm, data, compare)
    first = PER_TASK // BATCH
    assert max(differences[:first]) < 1e-12
    assert min(differences[first + 1 :]) > 1e-4


def test_omega_by_hand_and_never_negative() -> None:
    def one(value: list[float]) -> dict[str, Tensor]:
        return {"w": torch.tensor(value, dtype=torch.float64)}

    state = {
        "params": one([1.2, 1.2, 0.5]),
        "reference": one([1.0, 1.0, 0.5]),
        "omega": one([0.0, 3.0, 1.0]),
        "path": one([0.1, -0.1, -0.02]),
    }
    after = SI.end_task(toy().network, state, toy().of_task(0, 1))
    # 0.1 / (0.2^2 + 0.01) = 2; 3 - 2 = 1; 1 - 0.02 / 0.01 = -1, cut off
    torch.testing.assert_close(after["omega"], one([2.0, 1.0, 0.0]))
    assert after["reference"] == after["params"] == state["params"]
    assert not after["path"]["w"].any()


# ------------------------------------------------------------------------------------------------------------------ DER++


def test_stored_logits_are_those_of_the_time_of_writing() -> None:
    data = toy()
    observations = data.observations(DER_PP)
    network, state = data.network, DER_PP.init(data.network, data.params, TASKS)
    expected = torch.zeros(DER_PP.memory + 1, OUTPUTS, dtype=torch.float64)
    twice = 0
    for observed in observations:
        before = network(state["params"], observed.batch.x, observed.batch.task)
        state, _ = DER_PP.observe(network, state, observed)
        kept = [place for place in observed.write.tolist() if place < DER_PP.memory]
        twice += len(kept) - len(set(kept))
        for row, place in zip(before, observed.write.tolist(), strict=True):
            if place < DER_PP.memory:
                expected[place] = row
        torch.testing.assert_close(state["logits"], expected, rtol=1e-12, atol=1e-12)
    now = network(state["params"], data.stream.x, data.stream.task)
    assert not any(torch.isclose(now, row).all(1).any() for row in expected[:-1])


def test_of_two_samples_at_one_place_the_later_stays() -> None:
    stored, logits = torch.zeros(6, 2), torch.tensor([[1.0, 1], [2, 2], [3, 3], [4, 4], [5, 5]])
    written = DER_PP._written(stored, torch.tensor([4, 5, 1, 4, 5]), logits)
    assert written.tolist() == [[0, 0], [3, 3], [0, 0], [0, 0], [4, 4], [0, 0]]


# --------------------------------------------------------------------------------------------------------------- settings

MISTAKES: list[tuple[StreamLearner, dict[str, Any], str]] = [
    (EWC, {"lr": 0.0}, "lr=0.0: must be greater than 0"),
    (EWC, {"momentum": 1.0}, "momentum=1.0: must be less than 1"),
    (EWC, {"weight_decay": -0.1}, "weight_decay=-0.1: must be at least 0"),
    (EWC, {"lr_drops": [0.7, 0.5]}, "lr_drops=[0.7, 0.5]: must rise from share to share"),
    (ER, {"lr_drops": [0.5, 0.5]}, "lr_drops=[0.5, 0.5]: must rise from share to share"),
    (EWC, {"lr_drops": []}, "lr_drops=[]: must have at least 1 entry"),
    (EWC, {"lr_drop_factor": 1.0}, "lr_drop_factor=1.0: must be less than 1"),
    (EWC, {"clip_norm": 0.0}, "clip_norm=0.0: must be greater than 0, or null"),
    (EWC, {"optimizer": "adam", "momentum": 0.5}, "momentum=0.5: must be 0 with optimizer=adam, which has moments of its own"),
    (ER, {"memory": 0, "replay": 0, "buffer": "ring"}, "buffer=ring: must be reservoir without a replay buffer"),
    (EWC, {"strength": 0.0}, "strength=0.0: must be greater than 0; without a penalty, algo=sgd"),
    (EWC, {"fisher_samples": 0}, "fisher_samples=0: must be at least 1"),
    (SI, {"lr": -1.0}, "lr=-1.0: must be greater than 0"),
    (SI, {"strength": 0.0}, "strength=0.0: must be greater than 0; without a penalty, algo=sgd"),
    (SI, {"damping": 0.0}, "damping=0.0: must be greater than 0"),
    (EWC, {"decay": 1.5}, "decay=1.5: must be at most 1, or null"),
    (MAS, {"importance_batch": 2}, "importance_batch=2: must divide importance_samples=7 into batches"),
    (MAS, {"strength": 0.0}, "strength=0.0: must be greater than 0; without a penalty, algo=sgd"),
    (EWC_PP, {"strength": 0.0}, "strength=0.0: must be greater than 0; without a penalty, algo=sgd"),
    (EWC_PP, {"interval": 0}, "interval=0: must be at least 1"),
    (EWC_PP, {"fisher_rate": 0.0}, "fisher_rate=0.0: must be greater than 0"),
    (RWALK, {"damping": 0.0}, "damping=0.0: must be greater than 0"),
    (RWALK, {"earlier_scores": -1.0}, "earlier_scores=-1.0: must be at least 0"),
    (LWF, {"lr": 0.0}, "lr=0.0: must be greater than 0"),
    (LWF, {"strength": 0.0}, "strength=0.0: must be greater than 0; without distillation, algo=sgd"),
    (LWF, {"temperature": 0.0}, "temperature=0.0: must be greater than 0"),
    (A_GEM, {"lr": 0.0}, "lr=0.0: must be greater than 0"),
    (A_GEM, {"memories_per_task": 0}, "memories_per_task=0: must be at least 1"),
    (A_GEM, {"replay": 0}, "replay=0: must be at least 1"),
    (A_GEM, {"replay": 9}, "replay=9: must be at most the 8 samples of past tasks that memories_per_task=4 keeps"),
    (GEM, {"lr": 0.0}, "lr=0.0: must be greater than 0"),
    (GEM, {"memories_per_task": 0}, "memories_per_task=0: must be at least 1"),
    (GEM, {"margin": -0.1}, "margin=-0.1: must be at least 0"),
    (GEM, {"damping": -0.1}, "damping=-0.1: must be at least 0"),
    (DER_PP, {"lr": 0.0}, "lr=0.0: must be greater than 0"),
    (DER_PP, {"alpha": 0.0}, "alpha=0.0: must be greater than 0; without stored logits, algo=er"),
    (DER_PP, {"beta": -1.0}, "beta=-1.0: must be at least 0"),
    (DER_PP, {"memory": 0}, "memory=0: must be at least 1"),
    (DER_PP, {"replay": 6}, "replay=6: must be at most memory=5, which it is drawn from"),
    (MIR, {"candidates": 8}, "candidates=8: must be at most memory=7, which they are drawn from"),
    (MIR, {"replay": 6}, "replay=6: must be at most candidates=5, of which it is taken"),
    (ER_ACE, {"replay": 6}, "replay=6: must be at most memory=5, which it is drawn from"),
    (DER_PP, {"batch_size": 0}, "batch_size=0: must be at least 1"),
]


@pytest.mark.parametrize(("algorithm", "change", "message"), MISTAKES, ids=[message.split(":")[0] for *_, message in MISTAKES])
def test_a_setting_that_cannot_be_is_refused(algorithm: StreamLearner, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught, prefix_field_errors("algo"):
        fill(type(algorithm), {**vars(algorithm), **change}, "algo").replay_spec(TASKS)
    assert str(caught.value) == f"algo.{message}"


class _Normed(nn.Module):
    """A layer that is normalised by running averages, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(3, 4), RunningBatchNorm(4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.body(x)))


def test_the_network_that_is_distilled_normalises_by_its_running_averages() -> None:
    """Against torch's own batch norm: the earlier network at evaluation, the one that learns in training."""
    generator = torch.Generator().manual_seed(0)
    module = _Normed().double()
    network = Network(module, 3).in_mode("training")
    algo = LearningWithoutForgetting(batch_size=5, lr=0.1, strength=3.0, temperature=2.0, **PLAIN_SGD)
    params = {name: value.detach().clone() for name, value in module.named_parameters()}
    old = {name: value + torch.rand(value.shape, generator=generator, dtype=torch.float64) for name, value in params.items()}
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    batch = Samples(x, torch.tensor([2, 2, 0, 1, 2]), torch.ones(5, dtype=torch.int64))
    state = {**algo.init(network, params, 2), "old_params": old, "old_classes": torch.tensor([True, True, False])}
    none = torch.zeros(1, 0, dtype=torch.int64)
    nothing = batch.map(lambda part: part[:0].unsqueeze(0))
    observed = Observation(batch, none, nothing, none.double(), none, torch.zeros(5, dtype=torch.int64))
    after, _ = algo.observe(network, state, observed)  # type: ignore[arg-type]

    def outputs(weights: dict[str, Tensor], *, training: bool) -> Tensor:
        hidden = batch.x @ weights["body.weight"].T + weights["body.bias"]
        mean, var = (weights[f"norm.running_{name}"].detach().clone() for name in ("mean", "var"))
        normed = batch_norm(hidden, mean, var, weights["norm.weight"], weights["norm.bias"], training=training)
        return normed @ weights["head.weight"].T + weights["head.bias"]

    fresh = {name: value.clone().requires_grad_() for name, value in params.items()}
    logits, target = outputs(fresh, training=True), (outputs(old, training=False)[:, :2] / 2).softmax(1)
    distances = -(target * (logits[:, :2] / 2).log_softmax(1)).sum(1)
    (cross_entropy(logits, batch.y) + 3 * distances.mean()).backward()
    for name, value in fresh.items():
        if value.grad is not None and "running" not in name:
            torch.testing.assert_close(after["params"][name], params[name] - 0.1 * value.grad, msg=name)
