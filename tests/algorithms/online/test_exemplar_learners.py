"""GSS, mean of features and iCaRL against loops of plain autograd that keep lists of exemplars; herding against trying all."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from metacl_run.algorithms.online.er_mof import MeanOfFeatures
from metacl_run.algorithms.online.exemplar_learner import NOTHING, ExemplarLearner
from metacl_run.algorithms.online.gss import GradientSampleSelection
from metacl_run.algorithms.online.icarl import Icarl
from metacl_run.core.errors import ConfigError
from metacl_run.core.task_lengths import TaskLengths
from metacl_run.core.types import Observation, Samples, WeightedSamples
from metacl_run.inner.herding import herded
from metacl_run.protocols.online.replay_schedule import ReplaySchedule
from tests.algorithms.online.slow_loops import BATCH, OUTPUTS, PER_TASK, TASKS, Slow, Toy, toy
from tests.support.settings import PLAIN_SGD

SETTINGS: dict[str, Any] = {"batch_size": BATCH, "lr": 0.2, **PLAIN_SGD, "updates": 2, "memory": 7}
GSS = GradientSampleSelection(**SETTINGS, replay=4, compare=3)
MOF = MeanOfFeatures(**SETTINGS, replay=4, decay=0.8)
ICARL = Icarl(**SETTINGS, replay=4, herding_samples=9)


class Stream:
    """Observations whose draws are from the exemplars of a state, and what comes at the end of a task."""

    def __init__(self, algorithm: ExemplarLearner, data: Toy) -> None:
        self.algorithm, self.data, self.spec = algorithm, data, algorithm.replay_spec(TASKS)
        self.schedule = ReplaySchedule(self.spec, data.seed, samples=TaskLengths.equal(TASKS, PER_TASK), batch_size=BATCH)

    def observation(self, unit: int, exemplars: Tensor) -> Observation:
        draws = self.schedule.draw_from(unit, exemplars.numpy())
        order, number, weight, slot, write = (torch.from_numpy(part[0]) for part in draws)
        own = torch.arange(unit * BATCH, (unit + 1) * BATCH)
        uniform = torch.rand(BATCH, self.spec.uniforms, generator=torch.Generator().manual_seed(unit))
        replay = self.data.at(number)
        return Observation(self.data.at(own), order, replay, weight.double(), slot, write, own, uniform)

    def end_of_task(self, task: int, exemplars: Tensor) -> tuple[Samples, Tensor, WeightedSamples]:
        number = task * PER_TASK + torch.arange(0, self.algorithm.num_consolidation_samples) * 5 % PER_TASK
        all_exemplars = WeightedSamples(self.data.at(exemplars.clamp(min=0)), (exemplars >= 0).double())
        return self.data.at(number), number, all_exemplars


class SlowGss(Slow):
    def __init__(self, algorithm: Any, data: Toy) -> None:
        super().__init__(algorithm, data)
        self.memory: list[tuple[int, float]] = []

    def drawn(self, observed: Observation, draw: int, most: int) -> Samples:
        places = observed.slot[draw][observed.weight[draw] > 0].tolist()
        assert len(places) == min(len(self.memory), observed.slot.shape[1])
        return self.data.at(torch.tensor([self.memory[place][0] for place in places[:most]], dtype=torch.int64))

    def observe(self, observed: Observation) -> None:
        for draw in range(self.algorithm.updates):
            self.step(self.loss(observed.batch.joined(self.drawn(observed, draw, self.algorithm.replay))))
        others = self.drawn(observed, self.algorithm.updates, self.algorithm.compare)
        gradients = [self.flat(self.gradient(others.at(slice(i, i + 1)))) for i in range(len(others.y))]
        for i, (number, (which, whether)) in enumerate(zip(observed.number.tolist(), observed.uniform.tolist(), strict=True)):
            own = self.flat(self.gradient(observed.batch.at(slice(i, i + 1))))
            cosines = [float(own @ other / (own.norm() * other.norm())) for other in gradients]
            c = max(cosines) + 1 if cosines else 1.0
            if number in (kept for kept, _ in self.memory):
                continue
            if len(self.memory) < self.algorithm.memory:
                self.memory.append((number, c))
            elif c < 1:
                scores = [score for _, score in self.memory]
                reached, place = scores[0], 0
                while reached <= which * sum(scores):
                    place += 1
                    reached += scores[place]
                if whether < scores[place] / (scores[place] + c):
                    self.memory[place] = (number, c)
                    self.corrected += 1


@pytest.mark.parametrize("seed", [0, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_gss_keeps_what_a_slow_loop_keeps(seed: int, masked: bool) -> None:
    data = toy(seed, masked=masked)
    slow, stream, network = SlowGss(GSS, data), Stream(GSS, data), data.network
    state = GSS.init(network, data.params, TASKS)
    units = range(TASKS * PER_TASK // BATCH)
    for unit in (units[0], units[0], *units):  # the first batch comes three times, as in several passes
        observed = stream.observation(unit, state["exemplars"])
        state, _ = GSS.observe(network, state, observed)
        slow.observe(observed)
        expected = [number for number, _ in slow.memory] + [NOTHING] * (GSS.memory - len(slow.memory))
        assert state["exemplars"].tolist() == expected
        for name, value in slow.now().items():
            torch.testing.assert_close(state["params"][name], value, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(state["scores"].tolist(), [score for _, score in slow.memory])
    assert slow.corrected > 0


class SlowMof(Slow):
    """Keeps lists of [number, features, distance], by class of a task; the last ones are of the current task."""

    def __init__(self, algorithm: Any, data: Toy) -> None:
        super().__init__(algorithm, data)
        self.groups: dict[tuple[int, int], list[list[Any]]] = {}
        self.means: dict[int, Tensor] = {}
        self.task = 0

    @property
    def numbers(self) -> list[int]:
        return sorted(number for kept in self.groups.values() for number, _, _ in kept)

    def observe(self, observed: Observation) -> None:
        for draw in range(self.algorithm.updates):
            real = observed.weight[draw] > 0
            self.step(self.loss(observed.batch.joined(Samples(*(part[draw][real] for part in observed.replay)))))
        params, decay = self.now(), self.algorithm.decay
        for number, x, y in zip(observed.number.tolist(), observed.batch.x, observed.batch.y.tolist(), strict=True):
            phi = (params["body.weight"] @ x + params["body.bias"]).clamp(min=0)
            mean = self.means[y] = phi if y not in self.means else decay * self.means[y] + (1 - decay) * phi
            own = self.groups.setdefault((self.task, y), [])
            for kept in own:
                kept[2] = float((kept[1] - mean).square().sum())
            if number not in self.numbers:
                self.compete(own, [number, phi, float((phi - mean).square().sum())])

    def compete(self, own: list[list[Any]], sample: list[Any]) -> None:
        most = max(len(kept) for kept in self.groups.values())
        if len(self.numbers) < self.algorithm.memory:
            own.append(sample)
        elif most - len(own) >= 2:
            largest = [(kept, one) for kept in self.groups.values() if len(kept) == most for one in kept]
            kept, farthest = max(largest, key=lambda pair: float(pair[1][2]))
            kept.remove(farthest)
            own.append(sample)
            self.gave_way += 1
        elif own and sample[2] < max(own, key=lambda kept: float(kept[2]))[2]:
            own.remove(max(own, key=lambda kept: float(kept[2])))
            own.append(sample)
            self.corrected += 1

    gave_way = 0

    def end_task(self) -> None:
        self.task, self.means = self.task + 1, {}


@pytest.mark.parametrize(("seed", "memory"), [(0, 7), (2, 7)])
@pytest.mark.parametrize("masked", [False, True])
def test_mean_of_features_keeps_what_a_slow_loop_keeps(seed: int, memory: int, masked: bool) -> None:
    algorithm = dataclasses.replace(MOF, memory=memory)
    data = toy(seed, masked=masked)
    slow, stream, network = SlowMof(algorithm, data), Stream(algorithm, data), data.network
    state = algorithm.init(network, data.params, TASKS)
    per_task = PER_TASK // BATCH
    for unit in (0, *range(TASKS * per_task)):  # the first batch comes twice, as in several passes
        observed = stream.observation(unit, state["exemplars"])
        state, _ = algorithm.observe(network, state, observed)
        slow.observe(observed)
        if (unit + 1) % per_task == 0:
            state = algorithm.choose(network, state, *stream.end_of_task(unit // per_task, state["exemplars"]))
            slow.end_task()
        exemplars, sizes = state["exemplars"].tolist(), state["size"].tolist()
        assert sorted(number for number in exemplars if number != NOTHING) == slow.numbers
        size_of = {number: len(kept) for kept in slow.groups.values() for number, _, _ in kept}
        assert sizes == [size_of.get(number, 0) for number in exemplars]
        for name, value in slow.now().items():
            torch.testing.assert_close(state["params"][name], value, rtol=1e-8, atol=1e-10)
    assert slow.corrected > 0
    assert slow.gave_way > 0


class SlowIcarl(Slow):
    def __init__(self, algorithm: Any, data: Toy) -> None:
        super().__init__(algorithm, data)
        self.exemplars: dict[int, list[int]] = {}
        self.old = self.now()
        self.earlier: set[int] = set()
        self.current: set[int] = set()
        self.means: dict[int, Tensor] = {}

    def observe(self, observed: Observation) -> None:
        self.current |= set(observed.batch.y.tolist())
        for draw in range(self.algorithm.updates):
            real = observed.weight[draw] > 0
            samples = observed.batch.joined(Samples(*(part[draw][real] for part in observed.replay)))
            loss = torch.zeros((), dtype=torch.float64)
            for x, label, task in zip(samples.x, samples.y.tolist(), samples.task.tolist(), strict=True):
                now, old = self.raw(self.params, x).sigmoid(), self.raw(self.old, x).sigmoid()
                for y in self.earlier | self.current:
                    if self.data.masks is not None and not self.data.masks[task, y]:
                        continue
                    target = old[y] if y in self.earlier - self.current else float(label == y)
                    loss = loss - target * now[y].log() - (1 - target) * (1 - now[y]).log()
            self.step(loss / len(samples.y))

    def features(self, numbers: list[int]) -> Tensor:
        x, params = self.data.at(torch.tensor(numbers)).x, self.now()
        return normalize((x @ params["body.weight"].T + params["body.bias"]).clamp(min=0))

    def choose(self, numbers: list[int]) -> None:
        by_class: dict[int, list[int]] = {}
        for number in numbers:
            by_class.setdefault(int(self.data.stream.y[number]), []).append(number)
        of_each = self.algorithm.memory // len(set(self.exemplars) | set(by_class))
        for label, candidates in by_class.items():
            self.exemplars[label] = self.herd(self.exemplars.get(label, []) + candidates, of_each)
        self.exemplars = {label: own[:of_each] for label, own in self.exemplars.items()}
        self.means = {label: normalize(self.features(own).mean(0), dim=0) for label, own in self.exemplars.items()}
        self.earlier, self.current, self.old = self.earlier | self.current, set(), self.now()

    def herd(self, candidates: list[int], most: int) -> list[int]:
        goal = normalize(self.features(candidates).mean(0), dim=0)
        order: list[int] = []
        while len(order) < min(most, len(candidates)):
            left = [number for number in candidates if number not in order]
            distances = [float((goal - self.features([*order, number]).mean(0)).norm()) for number in left]
            order.append(left[distances.index(min(distances))])
        return order

    def predicted(self, samples: Samples) -> list[int]:
        params = self.now()
        own = normalize((samples.x @ params["body.weight"].T + params["body.bias"]).clamp(min=0))
        masks = self.data.masks
        return [
            min(
                (y for y in self.means if masks is None or masks[task, y]),
                key=lambda y: float((feature - self.means[y]).norm()),
                default=0,
            )
            for feature, task in zip(own, samples.task.tolist(), strict=True)
        ]


@pytest.mark.parametrize("kind", ["growing", "masked", "shared"])
def test_icarl_learns_keeps_and_predicts_as_a_slow_loop(kind: str) -> None:
    algorithm = dataclasses.replace(ICARL, memory=13)
    data = toy(2, **({} if kind == "shared" else {kind: True}))
    slow, stream, network = SlowIcarl(algorithm, data), Stream(algorithm, data), data.network
    state = algorithm.init(network, data.params, TASKS)
    torch.testing.assert_close(algorithm.predict(network, state, data.stream.x, None), network(data.params, data.stream.x))
    for unit in range(TASKS * PER_TASK // BATCH):
        observed = stream.observation(unit, state["exemplars"])
        state, _ = algorithm.observe(network, state, observed)
        slow.observe(observed)
        for name, value in slow.now().items():
            torch.testing.assert_close(state["params"][name], value, rtol=1e-8, atol=1e-10)
        if (unit + 1) * BATCH % PER_TASK == 0:
            task = unit * BATCH // PER_TASK
            parts = stream.end_of_task(task, state["exemplars"])
            state = algorithm.choose(network, state, *parts)
            slow.choose(parts[1].tolist())
            own: dict[int, list[tuple[int, int]]] = {}
            for number, label, rank in zip(*(state[key].tolist() for key in ("exemplars", "label", "rank")), strict=True):
                if number != NOTHING:
                    own.setdefault(label, []).append((rank, number))
            # As sets: of two samples alone both are as near to their mean, and rounding decides which comes first.
            assert {label: {number for _, number in ranked} for label, ranked in own.items()} == {
                label: set(numbers) for label, numbers in slow.exemplars.items()
            }
        known = data.stream.at(data.stream.task <= unit * BATCH // PER_TASK)
        if slow.means:
            outputs = algorithm.predict(network, state, known.x, known.task)
            places = [place for place, y in enumerate(known.y.tolist()) if y in slow.means]
            assert outputs.argmax(1)[places].tolist() == [slow.predicted(known)[place] for place in places]
    assert len(slow.exemplars) == OUTPUTS
    assert {len(numbers) for numbers in slow.exemplars.values()} <= {1, 2}


def test_herding_follows_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    features = normalize(torch.randn(40, 3, dtype=torch.float64, generator=generator) + 1)
    member = torch.zeros(3, 40, dtype=torch.bool)
    member[0, :25], member[2, 27:] = True, True  # two samples of none, a class without samples
    rank = herded(features, member, 6)
    assert sorted(rank[:25].tolist()) == [0, 1, 2, 3, 4, 5] + [6] * 19
    assert (rank[25:27] == 6).all()
    mean = normalize(features[:25].mean(0), dim=0)
    first = [int((rank[:25] == turn).nonzero()) for turn in range(6)]
    for turn in range(6):
        tried = [
            (mean - features[[*first[:turn], other]].mean(0)).norm().item() if other not in first[:turn] else math.inf
            for other in range(25)
        ]
        assert tried.index(min(tried)) == first[turn]


def test_draws_are_from_the_places_in_use_alone() -> None:
    exemplars = torch.tensor([5, NOTHING, 8, NOTHING, 2, 11, NOTHING])
    observed = Stream(dataclasses.replace(ICARL, memory=7, replay=5), toy()).observation(3, exemplars)
    for number, weight, slot in zip(observed.replay.y, observed.weight, observed.slot, strict=True):
        assert weight.tolist() == [1, 1, 1, 1, 0]
        assert sorted(slot[:4].tolist()) == [0, 2, 4, 5]
        assert number[:4].tolist() == toy().stream.y[exemplars[slot[:4]]].tolist()


def test_what_they_cannot_learn() -> None:
    with pytest.raises(ConfigError, match=r"algo\.memory=5: must be at least 6, an exemplar of every class"):
        dataclasses.replace(ICARL, memory=5).init(toy().network, toy().params, TASKS)
    with pytest.raises(ConfigError, match="Icarl learns classes"):
        ICARL.init(toy(real=True).network, toy().params, TASKS)
