"""PackNet against a loop that keeps, for every weight, the task that owns it in a table of its own."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils._pytree import tree_map

from metacl_run.algorithms.online.packnet import FREE, PackNet
from metacl_run.core.types import Samples
from tests.algorithms.online.slow_loops import BATCH, PER_TASK, TASKS, Toy, toy
from tests.support.settings import PLAIN_SGD

PACKNET = PackNet(batch_size=BATCH, lr=0.2, **PLAIN_SGD, prune=0.6, retrain_samples=7, retrain_passes=2)
STREAMS = {"real": {"real": True}, "outputs_by_task": {"masked": True}}


class Slow:
    def __init__(self, algorithm: PackNet, data: Toy) -> None:
        self.algorithm, self.data = algorithm, data
        self.params = {name: value.clone() for name, value in data.params.items()}
        self.own_heads = data.masks is not None
        self.shared = ["body.weight"] if self.own_heads else ["body.weight", "head.weight"]
        self.owner: dict[str, dict[tuple[int, ...], int]] = {name: {} for name in self.shared}

    def forward(self, params: dict[str, Tensor], samples: Samples) -> Tensor:
        hidden = (samples.x @ params["body.weight"].T + params["body.bias"]).clamp(min=0)
        raw = hidden @ params["head.weight"].T + params["head.bias"]
        return raw if self.data.masks is None else torch.where(self.data.masks[samples.task], raw, -1e9)

    def step(self, samples: Samples, task: int, *, again: bool) -> None:
        leaves = {name: value.clone().requires_grad_() for name, value in self.params.items()}
        outputs = self.forward(leaves, samples)
        loss = mse_loss(outputs, samples.y) if samples.y.is_floating_point() else cross_entropy(outputs, samples.y)
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        for name, gradient in zip(leaves, gradients, strict=True):
            for place in torch.cartesian_prod(*map(torch.arange, gradient.shape)).view(gradient.numel(), -1).tolist():
                at = tuple(place)
                if name in self.shared:
                    moves = self.owner[name].get(at) == (task if again else None)
                elif name.startswith("head") and self.own_heads:
                    moves = at[0] in (2 * task, 2 * task + 1)
                else:
                    moves = task == 0
                if moves:
                    self.params[name][at] -= self.algorithm.lr * gradient[at]

    def end_task(self, task: int, samples: Samples) -> None:
        for name in self.shared:
            weight, owner = self.params[name], self.owner[name]
            free = [(abs(weight[i, j].item()), (i, j)) for i in range(len(weight)) for j in range(weight.shape[1])]
            free = sorted(pair for pair in free if pair[1] not in owner)
            count = round(self.algorithm.prune * len(free))
            for _, at in free[:count]:
                weight[at] = 0
            owner |= {at: task for _, at in free[count:]}
        for _ in range(self.algorithm.retrain_passes):
            for first in range(0, len(samples.y), BATCH):
                self.step(Samples(*(part[first : first + BATCH] for part in samples)), task, again=True)

    def predict(self, samples: Samples, task: int) -> Tensor:
        """The outputs for samples of a task that is over."""
        params = {name: value.clone() for name, value in self.params.items()}
        for name in self.shared:
            for i in range(len(params[name])):
                for j in range(params[name].shape[1]):
                    if self.owner[name].get((i, j), TASKS) > task:
                        params[name][i, j] = 0
        return self.forward(params, samples)


def learn(algorithm: PackNet, data: Toy, slow: Slow | None = None) -> list[dict[str, Any]]:
    """The states at the ends of tasks; `slow` follows."""
    network, state, ends = data.network, algorithm.init(data.network, data.params, TASKS), []
    for unit, observed in enumerate(data.observations(algorithm)):
        task = unit * BATCH // PER_TASK
        state, _ = algorithm.observe(network, state, observed)
        if slow is not None:
            slow.step(observed.batch, task, again=False)
            torch.testing.assert_close(state["params"], slow.params, rtol=1e-9, atol=1e-11)
        if (unit + 1) * BATCH % PER_TASK == 0:
            samples = data.of_task(task, algorithm.num_consolidation_samples)
            state = algorithm.end_task(network, state, samples)
            ends.append(state)
            if slow is not None:
                slow.end_task(task, samples)
                torch.testing.assert_close(state["params"], slow.params, rtol=1e-9, atol=1e-11)
    return ends


@pytest.mark.parametrize("stream", STREAMS)
def test_every_update_and_every_task_equal_the_slow_loop(stream: str) -> None:
    data = toy(**STREAMS[stream])
    slow = Slow(PACKNET, data)
    (*_, end) = learn(PACKNET, data, slow)
    outputs = PACKNET.predict(data.network, end, data.stream.x, data.stream.task)
    expected = torch.cat([slow.predict(data.of_task(task, PER_TASK), task) for task in range(TASKS)])
    order = torch.cat([task * PER_TASK + torch.arange(PER_TASK) * 5 % PER_TASK for task in range(TASKS)])
    torch.testing.assert_close(outputs[order], expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("stream", STREAMS)
def test_nothing_of_a_task_is_forgotten(stream: str, optimizer: Any) -> None:
    data, algorithm = toy(**STREAMS[stream]), dataclasses.replace(PACKNET, optimizer=optimizer, lr=0.05)
    ends = learn(algorithm, data)
    for task, then in enumerate(ends):
        own = data.of_task(task, PER_TASK)
        before, after = (algorithm.predict(data.network, state, own.x, own.task) for state in (then, ends[-1]))
        assert torch.equal(before, after)
    assert not torch.equal(ends[0]["params"]["body.weight"], ends[-1]["params"]["body.weight"])


def test_tasks_share_out_what_is_left() -> None:
    (*_, end) = learn(PACKNET, toy(real=True))
    for name in ("body.weight", "head.weight"):
        owner, free = end["owner"][name], end["owner"][name].numel()
        for task in range(TASKS):
            given_up = round(0.6 * free)
            assert (owner == task).sum() == free - given_up
            free = given_up
        assert (end["params"][name][owner == FREE] == 0).all()


def test_before_a_task_is_learned_it_is_predicted_with_all_there_is() -> None:
    data = toy(real=True)
    state = PACKNET.init(data.network, data.params, TASKS)
    x, task = data.stream.x, data.stream.task
    torch.testing.assert_close(PACKNET.predict(data.network, state, x, task), data.network(data.params, x))


def test_replicates_side_by_side_equal_each_alone() -> None:
    both = [toy(seed, masked=True) for seed in (3, 4)]
    network = both[0].network
    ends = [learn(PACKNET, data)[-1] for data in both]
    together = tree_map(lambda *leaves: torch.stack(leaves), *[PACKNET.init(network, data.params, TASKS) for data in both])
    for unit, pair in enumerate(zip(*(data.observations(PACKNET) for data in both), strict=True)):
        stacked = tree_map(lambda *leaves: torch.stack(leaves), *pair)
        together, _ = torch.vmap(lambda state, observed: PACKNET.observe(network, state, observed))(together, stacked)
        if (unit + 1) * BATCH % PER_TASK == 0:
            samples = [data.of_task(unit * BATCH // PER_TASK, PACKNET.num_consolidation_samples) for data in both]
            stacked = tree_map(lambda *leaves: torch.stack(leaves), *samples)
            together = torch.vmap(lambda state, own: PACKNET.end_task(network, state, own))(together, stacked)
    for i, state in enumerate(ends):
        tree_map(lambda a, b: torch.testing.assert_close(a[i], b, rtol=1e-12, atol=1e-12), together, state)  # noqa: B023
