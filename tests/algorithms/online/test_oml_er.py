"""OML-ER and ANML-ER against episodes of plain autograd with torch.optim, in float64, which hold their own memory."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metacl_run.algorithms.online.oml_er import EpisodicReplay
from metacl_run.core.errors import ConfigError, SettingError
from metacl_run.core.task_lengths import TaskLengths
from metacl_run.core.types import Observation
from metacl_run.protocols.online.replay_schedule import ReplaySchedule
from tests.algorithms.online.slow_loops import PER_TASK, TASKS, Toy, TwoLayers, toy

EPISODE, INNER = 6, 2
OML_ER = EpisodicReplay(
    batch_size=EPISODE,
    inner_batch=INNER,
    inner_lr=0.3,
    outer_lr=0.02,
    outer_optimizer="adam",
    outer_momentum=0.0,
    plastic=["head"],
    memory=9,
    buffer="reservoir",
    replay=5,
    replay_every=3,
)


def observations(algorithm: EpisodicReplay, data: Toy) -> list[Observation]:
    spec = algorithm.replay_spec(TASKS)
    schedule = ReplaySchedule(spec, data.seed, samples=TaskLengths.equal(TASKS, PER_TASK), batch_size=EPISODE)
    draws = schedule.draw(0, TASKS * PER_TASK // EPISODE)
    order, number, weight, slot, write = (torch.from_numpy(part) for part in draws)
    batches = [data.at(torch.arange(unit * EPISODE, (unit + 1) * EPISODE)) for unit in range(len(write))]
    rows = zip(batches, order, number, weight.double(), slot, write, strict=True)
    return [Observation(batch, o, data.at(n), w, s, p) for batch, o, n, w, s, p in rows]


class SlowEpisodes:
    """The learner with a module for theta, a copy of it for every episode, and torch.optim for all steps."""

    def __init__(self, algorithm: EpisodicReplay, data: Toy) -> None:
        self.algorithm, self.module = algorithm, TwoLayers().double()
        self.module.load_state_dict(data.params)
        weights, rate = self.module.parameters(), algorithm.outer_lr
        momentum = algorithm.outer_momentum
        self.outer = torch.optim.SGD(weights, rate, momentum) if momentum else torch.optim.Adam(weights, rate)

    def episode(self, observed: Observation, number: int) -> tuple[float, nn.Module]:
        """Learns from an episode, the first being number 1; returns the loss on its query set and the module that predicts."""
        x, y = observed.batch.x, observed.batch.y
        adapted = self.adapted([(x[:2], y[:2]), (x[2:4], y[2:4])])
        query = x[4:], y[4:]
        known = int(observed.weight[0, : self.algorithm.replay].sum())
        if number % self.algorithm.replay_every == 0 and known:
            query = observed.replay.x[0, :known], observed.replay.y[0, :known]
        loss = cross_entropy(adapted(query[0]), query[1])
        for parameter, gradient in zip(
            self.module.parameters(), torch.autograd.grad(loss, list(adapted.parameters())), strict=True
        ):
            parameter.grad = gradient
        self.outer.step()
        remembered = int(observed.weight[1].sum())
        memory = [(observed.replay.x[1, i : i + 2], observed.replay.y[1, i : i + 2]) for i in (0, 2) if i < remembered]
        return loss.item(), self.adapted(memory)

    def adapted(self, batches: Sequence[tuple[Tensor, Tensor]]) -> nn.Module:
        module = copy.deepcopy(self.module)
        plastic = [p for name, p in module.named_parameters() if name.split(".")[0] in self.algorithm.plastic]
        inner = torch.optim.SGD(plastic, lr=self.algorithm.inner_lr)
        for x, y in batches:
            module.zero_grad()
            cross_entropy(module(x), y).backward()
            inner.step()
        return module


@pytest.mark.parametrize("plastic", [["head"], ["body", "head"]])
@pytest.mark.parametrize("replay_every", [1, 3])
@pytest.mark.parametrize("outer", [{}, {"outer_optimizer": "sgd", "outer_momentum": 0.9}])
def test_every_episode_equals_the_slow_loop(plastic: list[str], replay_every: int, outer: dict[str, Any]) -> None:
    algorithm = EpisodicReplay(**{**vars(OML_ER), "plastic": plastic, "replay_every": replay_every, **outer})
    data = toy()
    network, state, slow = data.network, algorithm.init(data.network, data.params, TASKS), SlowEpisodes(algorithm, data)
    for number, observed in enumerate(observations(algorithm, data), 1):
        state, metrics = algorithm.observe(network, state, observed)
        loss, predicts = slow.episode(observed, number)
        assert metrics["loss"].item() == pytest.approx(loss, rel=1e-9)
        for key, value in slow.module.named_parameters():
            torch.testing.assert_close(state["meta"][key], value.detach(), rtol=1e-8, atol=1e-10)
        for key, value in predicts.named_parameters():
            torch.testing.assert_close(state["params"][key], value.detach(), rtol=1e-8, atol=1e-10)


def test_it_names_the_groups_that_the_network_has() -> None:
    algorithm, data = EpisodicReplay(**{**vars(OML_ER), "plastic": ["head", "tail"]}), toy()
    with pytest.raises(ConfigError, match=r"TwoLayers has no group of parameters tail\. Groups: body, head"):
        algorithm.init(data.network, data.params, TASKS)


@pytest.mark.parametrize(("setting", "value"), [("inner_batch", 6), ("inner_batch", 4), ("memory", 3), ("replay", 10)])
def test_an_episode_has_a_support_set_a_query_batch_and_a_memory_to_draw_from(setting: str, value: int) -> None:
    with pytest.raises(SettingError, match=setting):
        EpisodicReplay(**{**vars(OML_ER), setting: value})
