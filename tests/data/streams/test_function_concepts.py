"""Functions learned together: the input names the place of the function, and the last functions are for meta-test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metacl_run.core.errors import SettingError
from metacl_run.scoring.objectives import REGRESSION

SMALL = {"meta_train_functions": 12, "meta_test_functions": 8, "together": 4, "learn_examples": 40, "test_examples": 5}


def test_inputs_are_a_one_hot_of_the_place_and_x(make: Callable[..., Any]) -> None:
    stream = make("incremental_sine", **SMALL)
    stream.check(4)
    assert (stream.input_shape, stream.outputs_for(4), stream.objective) == ((5,), 1, REGRESSION)
    assert [stream.count_concepts(split) for split in ("meta_train", "meta_test")] == [12, 8]
    assert stream.count_examples() == (40, 5)
    pool, (x, y) = stream.load([0]), stream.source.draw(20, 45)
    for split, first in (("meta_train", 0), ("meta_test", 12)):
        functions, examples, places = np.array([7, 0]), np.array([44, 3]), np.array([3, 1])
        inputs, targets = pool.gather(split, functions, examples, places)
        assert inputs[:, :4].tolist() == [[0, 0, 0, 1], [0, 1, 0, 0]]
        assert torch.equal(inputs[:, 4:], torch.from_numpy(x[first + functions, examples]).float())
        assert torch.equal(targets, torch.from_numpy(y[first + functions, examples]).float())


def test_longer_sequences_than_there_are_places_are_refused(make: Callable[..., Any]) -> None:
    with pytest.raises(SettingError, match="together=4: must be at least 5, as many as are learned together"):
        make("incremental_sine", **SMALL).check(5)
