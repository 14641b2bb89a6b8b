"""Every protocol checks code of the user's own on a unit before it begins, also with one seed, which is not mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_map

from metacl_run.config.compose import experiment_of
from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Episode, Observation
from metacl_run.experiment import run
from metacl_run.models.network import Network
from tests.support.runs import records
from tests.support.small_runs import KINDS

LEARNS = [
    ("online", "observe"),
    ("continual_meta", "episode_update"),
    ("meta_continual", "episode_update"),
    ("osaka", "pretrain"),
    ("osaka", "observe"),
]


@pytest.mark.parametrize(("kind", "method"), LEARNS)
def test_a_method_that_draws_random_numbers_is_refused_before_anything_is_recorded(
    kind: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = experiment_of([*KINDS[kind], "seeds=[0]", "progress=none", "figures.style=none", f"output_dir={tmp_path}"])
    own = getattr(type(built.algo), method)

    def drawing(*arguments: Any) -> Any:
        torch.rand(())
        return own(*arguments)

    monkeypatch.setattr(type(built.algo), method, drawing)
    monkeypatch.setattr("metacl_run.experiment.own_code", lambda _: {"mine": "its source"})
    with pytest.raises(RuntimeError, match="called random operation"):
        run(built)
    assert not records(built.directory)


@pytest.mark.parametrize(("kind", "method"), LEARNS)
def test_a_method_that_counts_its_calls_is_refused_by_its_name(
    kind: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = experiment_of([*KINDS[kind], "seeds=[0]", "progress=none", "figures.style=none", f"output_dir={tmp_path}"])
    own, calls = getattr(type(built.algo), method), [0]

    def counting(*arguments: Any) -> Any:
        calls[0] += 1
        return tree_map(lambda leaf: leaf * calls[0] if leaf.is_floating_point() else leaf, own(*arguments))

    monkeypatch.setattr(type(built.algo), method, counting)
    monkeypatch.setattr("metacl_run.experiment.own_code", lambda _: {"mine": "its source"})
    with pytest.raises(ConfigError, match=rf"^algo: .*{method} of {type(built.algo).__name__} gives other numbers"):
        run(built)


@pytest.mark.parametrize(("support", "query"), [("support_x", "query_x"), ("support_y", "query_y")])
def test_a_few_shot_learner_that_learns_the_queries_is_refused(
    support: str, query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["data.shots=2", "data.queries=2", "seeds=[0]", "progress=none", "figures.style=none", f"output_dir={tmp_path}"]
    built = experiment_of([*KINDS["continual_meta"], *words])
    own = type(built.algo).learn

    def mistaken(algo: Any, network: Any, meta: Any, carry: Any, episode: Episode) -> Any:
        return own(algo, network, meta, carry, episode._replace(**{support: getattr(episode, query)}))

    monkeypatch.setattr(type(built.algo), "learn", mistaken)
    monkeypatch.setattr("metacl_run.experiment.own_code", lambda _: {"mine": "its source"})
    with pytest.raises(ConfigError, match=r"^algo: learn of \w+ learns from the queries of an evaluation episode"):
        run(built)


@pytest.mark.parametrize("leaves_out", [False, True])
def test_a_loss_that_takes_in_masked_outputs_is_refused(
    leaves_out: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    glyphs = ["algo=er", "data=split_glyphs", "data.scenario=task", "data.num_classes=20", "data.num_tasks=2"]
    words = ["model.hidden=[6]", "seeds=[0]", "progress=none", "figures.style=none", f"output_dir={tmp_path}"]
    built = experiment_of([*glyphs, *words])
    own = type(built.algo).observe

    def smoothing(algo: Any, network: Network, state: Any, observed: Observation) -> Any:
        x, y, task = observed.batch
        log_p = torch.log_softmax(network(state["params"], x, task), 1)
        if leaves_out:
            log_p = torch.where(network.masks[task], log_p, 0)  # type: ignore[index]
        loss = -(0.9 * log_p.gather(1, y[:, None]).mean() + 0.1 * log_p.mean())
        return own(algo, network, state, observed)[0], {"loss": loss}

    monkeypatch.setattr(type(built.algo), "observe", smoothing)
    monkeypatch.setattr("metacl_run.experiment.own_code", lambda _: {"mine": "its source"})
    if leaves_out:
        assert run(built) == 0
        return
    with pytest.raises(ConfigError, match=r"^algo: the loss of \w+ is \d\.\de\+\d+, since it takes in masked outputs"):
        run(built)


def test_an_unfinished_state_of_a_method_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = experiment_of([*KINDS["online"], "progress=none", "figures.style=none", f"output_dir={tmp_path}"])
    own = type(built.algo).init
    monkeypatch.setattr(type(built.algo), "init", lambda *arguments: {**own(*arguments), "mean": None})
    with pytest.raises(ConfigError, match=r"has null where a tensor has to be: state\['mean'\]"):
        run(built)
