"""What a learner of classes predicts for test samples: the classes it confuses, and the samples it has forgotten.

A sample is forgotten when its prediction was right after its own task was learned, and is wrong at the end.
Shapes: R replicates, T tasks, N test samples of a task, C classes, D numbers of an example.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.types import Samples
from metacl_run.data.streams.output_classes import OutputClasses
from metacl_run.protocols.online.held_out import AT_ONCE
from metacl_run.protocols.online.setup import StreamSetup
from metacl_run.protocols.progress import Progress
from metacl_run.protocols.recorder import EndRecorder

MOST_SAMPLES = 20_000
"""The most test samples of all tasks together that are recorded, for each seed; of a task the first ones."""
MOST_PAIRS = 1000
"""The most pairs of confused classes that are written."""
QUOTES = 5
"""The most forgotten samples of a task that are quoted, each of another class."""
MOST_QUOTED_TASKS = 50
"""The most tasks of which samples are quoted, the first ones."""
LONGEST_QUOTE = 200
"""Characters; longer texts are cut."""
MOST_COMPARED = 2000
"""The most classes whose means are compared, which takes a number for every two of them."""
NEAREST = 3
"""Classes that are named as the nearest to each."""
KEPT = "right_after_learning"
"""The key, in `TrainState.results`, of {task: [R][N] bool}."""


class PredictionRecorder(EndRecorder):
    """Keeps which samples are predicted right after their task was learned, and compares at the end.

    Args:
        setup, progress: of the run.
        classes: what its outputs stand for.
    """

    def __init__(self, setup: StreamSetup, progress: Progress, classes: OutputClasses) -> None:
        self._setup, self._progress, self._classes = setup, progress, classes
        self._limit = max(1, MOST_SAMPLES // setup.num_tasks)
        self._replicates = range(len(setup.seeds))

    def record(self, row: int | None) -> None:
        if not row:
            return
        begun, state = time.monotonic(), self._progress.state
        samples = self._samples(row - 1)
        right = [self._predicted(replicate, samples[replicate]) == samples[replicate].y for replicate in self._replicates]
        state.results.setdefault(KEPT, {})[row - 1] = [own.cpu() for own in right]
        state.evaluate_s += time.monotonic() - begun

    def write(self) -> None:
        """Writes predictions.json, once all tasks are learned."""
        begun, state = time.monotonic(), self._progress.state
        names = self._classes.names
        tested = np.zeros((len(names), len(self._replicates)), int)
        confused: Counter[tuple[int, int, int]] = Counter()
        tasks, sums, is_cut = [], _FeatureSums(len(names)), False
        for task in range(self._setup.num_tasks):
            samples = self._samples(task)
            is_cut = is_cut or any(len(own.y) == self._limit for own in samples)
            true, predicted = zip(*(self._named(replicate, task, own) for replicate, own in enumerate(samples)), strict=True)
            for replicate in self._replicates:
                np.add.at(tested, (true[replicate], replicate), 1)
                wrong = true[replicate] != predicted[replicate]
                pairs = zip(true[replicate][wrong].tolist(), predicted[replicate][wrong].tolist(), strict=True)
                confused.update((*pair, replicate) for pair in pairs)
            right = [own.numpy() for own in state.results[KEPT][task]]
            tasks.append(self._forgotten(task, right, true, predicted))
            if self._are_vectors_of_texts(samples[0]):
                sums.add(samples[0].x, true[0])
        cosines = sums.cosines()
        content = {
            "samples_per_task": self._limit if is_cut else None,
            "classes": list(names),
            "outputs": self._outputs(),
            "tested": tested.tolist(),
            "confused": _most_confused(confused, tested, cosines),
            "nearest": None if cosines is None else _nearest(cosines),
            "tasks": tasks,
        }
        self._progress.context.store.write_predictions(content)
        state.evaluate_s += time.monotonic() - begun

    def _outputs(self) -> list[list[int]] | None:
        """[R][outputs] the class of every output, -1 for none; None where it differs from task to task."""
        of_output = self._classes.of_output
        return of_output[:, 0].tolist() if (of_output == of_output[:, :1]).all() else None

    def _samples(self, task: int) -> list[Samples]:
        return self._setup.pool.test(task, self._limit)

    def _predicted(self, replicate: int, samples: Samples) -> Tensor:
        """[N] the outputs that a replicate predicts."""
        setup, learner = self._setup, self._progress.state.learner
        with torch.no_grad():
            parts = [samples.at(slice(first, first + AT_ONCE)) for first in range(0, max(1, len(samples.y)), AT_ONCE)]
            return torch.cat(
                [setup.outputs(learner, replicate, part.cast(setup.dtype).x, part.task).argmax(-1) for part in parts]
            )

    def _named(self, replicate: int, task: int, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
        """[N] the true and the predicted classes of a task's samples; -1 for an output that is no class of the task."""
        classes = self._classes.of_output[replicate, task]
        return classes[samples.y.cpu().numpy()], classes[self._predicted(replicate, samples).cpu().numpy()]

    def _forgotten(self, task: int, right: Any, true: Any, predicted: Any) -> dict[str, Any]:
        """Counts, by replicate, the samples that were right and those of them that are forgotten, and quotes some of the first
        replicate.

        Args:
            task: whose samples.
            right: [R][N] whether the prediction was right after the task was learned.
            true, predicted: [R][N] classes at the end.
        """
        forgotten = [right[replicate] & (true[replicate] != predicted[replicate]) for replicate in self._replicates]
        places = np.flatnonzero(forgotten[0])
        _, first = np.unique(true[0][places], return_index=True)
        chosen = places[np.sort(first)[:QUOTES]] if task < MOST_QUOTED_TASKS else places[:0]
        texts = self._setup.pool.quote_test(0, task, chosen)
        return {
            "right": [int(own.sum()) for own in right],
            "forgotten": [int(own.sum()) for own in forgotten],
            "quotes": [
                {"text": _cut(text), "class": int(true[0][place]), "predicted": _class(predicted[0][place])}
                for text, place in zip(texts or (), chosen if texts else (), strict=True)
            ],
        }

    def _are_vectors_of_texts(self, samples: Samples) -> bool:
        is_text = self._setup.pool.quote_test(0, 0, np.arange(0)) is not None
        return is_text and samples.x.ndim == 2 and samples.x.is_floating_point()


class _FeatureSums:
    """Sums of the features of each class, of which the cosines between class means follow."""

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._sums: np.ndarray | None = None

    def add(self, x: Tensor, classes: np.ndarray) -> None:
        """Adds examples [N, D] with their classes [N]."""
        values = x.double().cpu().numpy()
        if self._sums is None:
            self._sums = np.zeros((self._num_classes, values.shape[1]))
        np.add.at(self._sums, classes, values)

    def cosines(self) -> np.ndarray | None:
        """[C, C] cosines of the class means, NaN for a class without examples; None where nothing was added."""
        if self._sums is None or self._num_classes > MOST_COMPARED:
            return None
        norms = np.linalg.norm(self._sums, axis=1, keepdims=True)
        units = np.divide(self._sums, norms, out=np.full_like(self._sums, np.nan), where=norms > 0)
        return np.asarray(units @ units.T)


def _nearest(cosines: np.ndarray) -> list[list[list[Any]]]:
    """[C][`NEAREST`] [class, cosine of the class means], the nearest first."""
    others = np.where(np.eye(len(cosines), dtype=bool) | np.isnan(cosines), -np.inf, cosines)
    order = np.argsort(-others, axis=1, kind="stable")[:, :NEAREST]
    return [
        [[int(other), _rounded(others[own, other])] for other in row if np.isfinite(others[own, other])]
        for own, row in enumerate(order)
    ]


def _most_confused(
    counts: Counter[tuple[int, int, int]], tested: np.ndarray, cosines: np.ndarray | None
) -> list[dict[str, Any]]:
    """The pairs with the largest shares of the true class's samples, mean over the replicates that have any."""
    pairs: dict[tuple[int, int], list[int]] = {}
    for (true, predicted, replicate), count in counts.items():
        pairs.setdefault((true, predicted), [0] * tested.shape[1])[replicate] = count
    share = {pair: _mean_share(np.array(own), tested[pair[0]]) for pair, own in pairs.items()}
    order = sorted(pairs, key=lambda pair: (-share[pair], pair))
    return [
        {
            "class": pair[0],
            "predicted": _class(pair[1]),
            "samples": pairs[pair],
            "share": _rounded(share[pair]),
            "cosine": None if cosines is None or pair[1] < 0 else _rounded(cosines[pair]),
        }
        for pair in order[:MOST_PAIRS]
    ]


def _mean_share(samples: np.ndarray, of: np.ndarray) -> float:
    return float((samples[of > 0] / of[of > 0]).mean())


def _rounded(value: Any) -> float:
    """With four decimals."""
    return round(float(value), 4)


def _class(position: Any) -> int | None:
    """A class as it is written; None for an output that stands for none."""
    return int(position) if position >= 0 else None


def _cut(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST_QUOTE else f"{flat[: LONGEST_QUOTE - 1]}…"
