"""Confused classes, forgotten samples and out-of-scope examples, of a learner whose predictions are written down by hand.

An example is [what is predicted right after its task, what is predicted at the end]; the learner knows which of both it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metacl_run.core.types import Samples
from metacl_run.data.streams.output_classes import OutputClasses
from metacl_run.protocols.online import out_of_scope, predictions
from metacl_run.protocols.online.predictions import PredictionRecorder
from metacl_run.scoring.objectives import CLASSIFICATION

OUTPUTS = 4
NAMES = ["a", "b", "c", "d"]


@dataclass
class WrittenPool:
    """Test samples of R = 2 seeds and T = 2 tasks: [[(label, right after, at the end), ...]] by seed and task."""

    written: list[list[list[tuple[int, int, int]]]]
    texts: bool = True
    masks: Any = None
    out_of_scope: Any = None

    def test(self, task: int, limit: int | None) -> list[Samples]:
        tables = [torch.tensor(of_seed[task][:limit]) for of_seed in self.written]
        return [Samples(table[:, 1:].double(), table[:, 0], torch.full((len(table),), task)) for table in tables]

    def quote_test(self, replicate: int, task: int, places: np.ndarray) -> list[str] | None:
        return [f"seed {replicate} task {task} place {place}" for place in places] if self.texts else None


@dataclass
class Written:
    """The setup and the progress of a run over such a pool."""

    pool: WrittenPool
    content: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def network(params: dict[str, Tensor], x: Tensor, task: Tensor | None = None) -> Tensor:
            return 9.0 * torch.nn.functional.one_hot(x[:, int(params["moment"])].long(), OUTPUTS).double()

        called: Any = network
        called.objective = CLASSIFICATION
        self.setup: Any = SimpleNamespace(pool=self.pool, network=called, num_tasks=2, seeds=[0, 1], dtype=torch.float64)
        self.setup.outputs = lambda learner, replicate, x, task: network({"moment": learner["params"]["moment"][replicate]}, x)
        self.state = SimpleNamespace(learner={"params": {"moment": torch.zeros(2)}}, results={}, evaluate_s=0.0)
        store = SimpleNamespace(write_predictions=self.content.update)
        self.progress: Any = SimpleNamespace(state=self.state, context=SimpleNamespace(store=store))

    def run(self, of_output: np.ndarray) -> dict[str, Any]:
        recorder = PredictionRecorder(self.setup, self.progress, OutputClasses(names=NAMES, of_output=of_output))
        for row in (0, 1, None, 2):
            recorder.record(row)
        self.state.learner = {"params": {"moment": torch.ones(2)}}
        recorder.write()
        return self.content


SAMPLES = [
    [  # seed 0: two of three samples of output 0 become 2, one was never right
        [(0, 0, 2), (0, 1, 2), (0, 0, 0), (1, 1, 3), (1, 1, 1)],
        [(2, 2, 2), (3, 3, 3)],
    ],
    [[(0, 0, 0), (0, 0, 0), (1, 1, 0)], [(2, 2, 2), (3, 0, 3)]],
]
SAME = np.broadcast_to(np.arange(OUTPUTS), (2, 2, OUTPUTS))


def test_confused_and_forgotten_by_hand() -> None:
    content = Written(WrittenPool(SAMPLES)).run(SAME)
    assert content["tested"] == [[3, 2], [2, 1], [1, 1], [1, 1]]
    pairs = [(pair["class"], pair["predicted"], pair["samples"], pair["share"]) for pair in content["confused"]]
    assert pairs == [(1, 0, [0, 1], 0.5), (0, 2, [2, 0], 0.3333), (1, 3, [1, 0], 0.25)]
    first, second = content["tasks"]
    assert (first["right"], first["forgotten"]) == ([4, 3], [2, 1])  # (0, 1, 2) was wrong before
    assert first["quotes"] == [
        {"text": "seed 0 task 0 place 0", "class": 0, "predicted": 2},
        {"text": "seed 0 task 0 place 3", "class": 1, "predicted": 3},
    ]
    assert (second["right"], second["forgotten"], second["quotes"]) == ([2, 1], [0, 0], [])
    assert content["samples_per_task"] is None


def test_the_nearest_classes_are_those_of_the_class_means() -> None:
    content = Written(WrittenPool(SAMPLES)).run(SAME)
    means = np.array(
        [np.mean([s[1:] for task in SAMPLES[0] for s in task if s[0] == label], axis=0) for label in range(OUTPUTS)]
    )
    units = means / np.linalg.norm(means, axis=1, keepdims=True)
    for own, row in enumerate(content["nearest"]):
        others = sorted((other for other in range(OUTPUTS) if other != own), key=lambda other: -units[own] @ units[other])
        assert {other for other, _ in row} == set(others)
        assert [cosine for _, cosine in row] == pytest.approx([units[own] @ units[other] for other in others], abs=1e-4)
    assert content["confused"][0]["cosine"] == pytest.approx(units[1] @ units[0], abs=1e-4)


def test_a_class_is_what_its_output_stands_for_in_the_task_of_the_seed() -> None:
    """Domain-incremental: the second task of seed 0 has classes c, d under outputs 0, 1; of seed 1 a, b."""
    of_output = np.full((2, 2, OUTPUTS), -1)
    of_output[:, :, :2] = [[[0, 1], [2, 3]], [[2, 3], [0, 1]]]
    samples = [[[(0, 0, 0)], [(1, 1, 0)]], [[(0, 0, 0)], [(1, 1, 3)]]]
    content = Written(WrittenPool(samples)).run(of_output)
    pairs = [(pair["class"], pair["predicted"], pair["samples"], pair["share"]) for pair in content["confused"]]
    assert pairs == [(1, None, [0, 1], 1.0), (3, 2, [1, 0], 1.0)]  # output 3 is no class; b and d were tested by one seed each
    assert content["tasks"][1]["quotes"][0]["class"] == 3


def test_images_have_no_quotes_and_no_nearest_classes() -> None:
    content = Written(WrittenPool(SAMPLES, texts=False)).run(SAME)
    assert content["nearest"] is None
    assert content["confused"][0]["cosine"] is None
    assert [task["quotes"] for task in content["tasks"]] == [[], []]
    assert content["tasks"][0]["forgotten"] == [2, 1]


def test_what_is_recorded_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "MOST_SAMPLES", 4)
    monkeypatch.setattr(predictions, "MOST_PAIRS", 1)
    monkeypatch.setattr(predictions, "QUOTES", 1)
    content = Written(WrittenPool(SAMPLES)).run(SAME)
    assert content["samples_per_task"] == 2
    assert sum(map(sum, content["tested"])) == 8
    assert len(content["confused"]) == 1
    assert [len(task["quotes"]) for task in content["tasks"]] == [1, 0]
    assert len(predictions._cut("word  " * 100)) == predictions.LONGEST_QUOTE


def test_out_of_scope_auroc_is_over_the_largest_probability_of_all_test_samples() -> None:
    pool = WrittenPool(SAMPLES, out_of_scope=torch.tensor([[0.0, 1.0], [2.0, 2.0], [1.0, 1.0]]))
    written = Written(pool)

    def outputs(learner: Any, replicate: int, x: Tensor, task: Tensor | None) -> Tensor:
        return torch.stack([x.sum(-1), torch.zeros(len(x), dtype=x.dtype)], -1)  # the surer, the larger the sum

    written.setup.outputs = outputs
    metrics = out_of_scope.metrics(written.setup, written.state.learner)
    for replicate, of_seed in enumerate(SAMPLES):
        known = [sum(sample[1:]) for task in of_seed for sample in task]
        pairs = [(a > b) + 0.5 * (a == b) for a in known for b in (1, 4, 2)]
        assert metrics["oos_auroc"][replicate] == pytest.approx(np.mean(pairs))
    assert not out_of_scope.notes(pool)  # type: ignore[arg-type]


def test_without_out_of_scope_examples_or_with_known_tasks_there_is_no_auroc() -> None:
    plain = Written(WrittenPool(SAMPLES))
    assert out_of_scope.metrics(plain.setup, plain.state.learner) == {}
    told: Any = WrittenPool(SAMPLES, masks=torch.ones(2, OUTPUTS, dtype=torch.bool), out_of_scope=torch.zeros(5, 2))
    assert out_of_scope.metrics(Written(told).setup, plain.state.learner) == {}
    (note,) = out_of_scope.notes(told)
    assert "the 5 out-of-scope test examples are not used" in note
