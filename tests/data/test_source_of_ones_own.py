"""A source of one's own (2-dimensional points) is one Python file and one YAML file outside the package, for all protocols."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metacl_run.config.compose import experiment_of
from metacl_run.experiment import run

PYTHON = '''
from dataclasses import dataclass

import numpy as np

from metacl_run.core.bounds import Classes, Examples
from metacl_run.data.sources.source import Catalogue, LabelledExamples, LabelledSource


@dataclass(frozen=True, kw_only=True)
class Points(LabelledSource):
    """Clouds of points around centres on a circle."""

    num_classes: Classes
    points_per_class: Examples

    @property
    def example_shape(self) -> tuple[int, ...]:
        return (2,)

    def catalogue(self) -> Catalogue:
        names = [f"cloud {number + 1}" for number in range(self.num_classes)]
        return Catalogue(names=names, counts=np.full(self.num_classes, self.points_per_class), groups=names)

    def read(self) -> LabelledExamples:
        angles = np.linspace(0, 2 * np.pi, self.num_classes, endpoint=False)
        centres = np.stack([np.cos(angles), np.sin(angles)], -1).repeat(self.points_per_class, 0)
        noise = np.random.default_rng(0).normal(0, 0.03, centres.shape)
        return LabelledExamples(catalogue=self.catalogue(), x=(centres + noise).astype(np.float32))
'''
TASKS = "num_tasks: 3, tasks_from: classes, classes_per_task: null, shuffled: true, shift: none"
YAML = f"""
_target_: points_of_mine.Points
num_classes: 24
points_per_class: 20
streams:
  continual_meta:
    {{_target_: metacl_run.data.streams.class_episodes.ClassEpisodes, {TASKS},
     ways: 2, shots: 3, queries: 5, validation_classes: 0, test_classes: 0.5}}
  online:
    {{_target_: metacl_run.data.streams.class_samples.HeldOutClassSamples, {TASKS}, test_examples: 5, scenario: domain}}
  meta_continual: {{_target_: metacl_run.data.streams.class_concepts.ClassConcepts, meta_test_classes: 12, test_examples: 5}}
"""
SETTINGS = {
    "maml": ["protocol.updates_per_task=40", "algo.inner_lr=1.0", "protocol.eval_every=0"],
    "er": ["algo.lr=0.5", "protocol.eval_split=validation"],
    "oml": ["algo.inner_lr=0.3", "protocol.updates=60", "protocol.schedule=[3]", "protocol.orders=3", "protocol.eval_every=0"],
}


@pytest.mark.parametrize("algo", SETTINGS)
def test_points_are_learned_under_every_protocol(algo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "points_of_mine.py").write_text(PYTHON)
    (tmp_path / "options" / "data").mkdir(parents=True)
    (tmp_path / "options" / "data" / "points.yaml").write_text(YAML)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("metacl_run.experiment.draw", lambda *_: None)
    common = ["data=points", "model=mlp_small", f"output_dir={tmp_path}", "progress=none", "gpu.threads=1", "seeds=[0,1]"]
    experiment = experiment_of([f"algo={algo}", *common, *SETTINGS[algo]], str(tmp_path / "options"))
    assert run(experiment) == 0
    matrix = np.load(experiment.directory / "accuracy_matrix.npy")
    assert matrix[:, -1].mean() > 0.6  # a guess: a half, an eighth, a third
    assert matrix[:, -1].mean() > matrix[:, 0].mean() + 0.1
