"""Token numbers, int64, reach the network as whole numbers under every protocol: no stream and no loop assumes real inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metacl_run.config.compose import experiment_of
from metacl_run.experiment import run

PYTHON = '''
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from metacl_run.data.sources.source import Catalogue, LabelledExamples, LabelledSource
from metacl_run.models.network import Model


@dataclass(frozen=True, kw_only=True)
class Words(LabelledSource):
    """Classes whose texts use words of their own more often."""

    num_classes: int

    @property
    def example_shape(self) -> tuple[int, ...]:
        return (6,)

    def catalogue(self) -> Catalogue:
        names = [f"intent {number + 1}" for number in range(self.num_classes)]
        return Catalogue(names=names, counts=np.full(self.num_classes, 12), groups=names)

    def read(self) -> LabelledExamples:
        rng = np.random.default_rng(0)
        own = np.arange(self.num_classes).repeat(12)[:, None]
        x = np.where(rng.random((len(own), 6)) < 0.7, own, rng.integers(0, 40, (len(own), 6)))
        return LabelledExamples(catalogue=self.catalogue(), x=x)


class Bag(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.body = nn.Embedding(40, 8)
        self.head = nn.Linear(8, outputs)

    def forward(self, x: Tensor) -> Tensor:
        assert not x.is_floating_point()
        return self.head(self.body(x).mean(-2))


@dataclass(frozen=True, kw_only=True)
class BagModel(Model):
    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        return Bag(num_outputs or 8)
'''
TASKS = "num_tasks: 3, tasks_from: classes, classes_per_task: null, shuffled: true, shift: none"
ALL_ALIKE = "balance: tasks, blur: 0.0"  # settings that came later may be missing
YAML = f"""
_target_: words_of_mine.Words
num_classes: 12
streams:
  continual_meta:
    {{_target_: metacl_run.data.streams.class_episodes.ClassEpisodes, {TASKS},
     ways: 2, shots: 3, queries: 3, validation_classes: 0, test_classes: 0.5}}
  online:
    {{_target_: metacl_run.data.streams.class_samples.HeldOutClassSamples, {TASKS}, test_examples: 4, scenario: class,
     {ALL_ALIKE}}}
  meta_continual: {{_target_: metacl_run.data.streams.class_concepts.ClassConcepts, meta_test_classes: 6, test_examples: 4}}
"""
SETTINGS = {
    "maml": ["protocol.updates_per_task=3", "protocol.eval_every=0", "protocol.eval_episodes=4", "insight=full"],
    "er": ["insight=full", "data.num_tasks=3"],
    "oml": ["protocol.updates=3", "protocol.schedule=[3]", "protocol.orders=2", "protocol.eval_every=2", "algo.classes=2"],
}


@pytest.mark.parametrize("algo", SETTINGS)
def test_token_numbers_stay_whole_numbers(algo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "words_of_mine.py").write_text(PYTHON)
    for group, text in (("data", YAML), ("model", "_target_: words_of_mine.BagModel\n")):
        (tmp_path / "options" / group).mkdir(parents=True)
        (tmp_path / "options" / group / "words.yaml").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("metacl_run.experiment.draw", lambda *_: None)
    common = ["data=words", "model=words", f"output_dir={tmp_path}", "progress=none", "gpu.threads=1"]
    steps = ["algo.class_steps=3", "algo.query_examples=2"] if algo == "oml" else []
    experiment = experiment_of([f"algo={algo}", *common, *SETTINGS[algo], *steps], str(tmp_path / "options"))
    assert run(experiment) == 0
    assert np.isfinite(np.load(experiment.directory / "accuracy_matrix.npy")[:, -1]).all()
