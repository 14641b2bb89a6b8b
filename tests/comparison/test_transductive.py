"""Runs of version 0.1, which were evaluated in one way only, never stand beside those evaluated in the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metacl_run.comparison.compare import compare
from metacl_run.comparison.section_grids import metrics_grid
from metacl_run.storage.older_runs import was_transductive


def test_a_transductive_run_has_a_section_of_its_own_that_says_so(run: Callable[..., Path], tmp_path: Path) -> None:
    run("now", 0.5, algo="maml")
    run("then", 0.6, algo="anil", protocol__transductive=False)
    run("then_together", 0.7, algo="protonet", protocol__transductive=True)
    comparison = compare([tmp_path])
    sections = {scores.section.title: scores for scores in comparison.sections}
    assert {title: sorted(scores.labels) for title, scores in sections.items()} == {
        "split_glyphs, continual_meta": ["anil", "maml"],
        "split_glyphs, continual_meta, transductive": ["protonet"],
    }
    grid = metrics_grid(sections["split_glyphs, continual_meta, transductive"])
    assert any(note.startswith("Transductive: every score is with all queries") for note in grid.notes)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"protocol.transductive": True, "model._target_": "metacl_run.models.conv4.Conv4", "model.norm": "batch"}, True),
        ({"protocol.transductive": True, "model._target_": "metacl_run.models.conv4.Conv4", "model.norm": "image"}, False),
        ({"protocol.transductive": True, "model._target_": "metacl_run.models.resnet.ResNet12"}, True),
        ({"protocol.transductive": True, "model._target_": "mine.Net"}, True),
        ({"protocol.transductive": True, "model._target_": "metacl_run.models.mlp.Mlp", "model.batch_norm": True}, True),
        ({"protocol.transductive": True, "model._target_": "metacl_run.models.mlp.Mlp", "model.batch_norm": False}, False),
        ({"protocol.transductive": True, "model._target_": "metacl_run.models.conv_plain.ConvPlain"}, False),
        ({"protocol.transductive": False, "model.batch_norm": True}, False),
        ({"model.batch_norm": True}, False),
    ],
)
def test_only_batch_norm_makes_a_run_transductive(settings: dict[str, Any], expected: bool) -> None:
    assert was_transductive(settings) is expected
