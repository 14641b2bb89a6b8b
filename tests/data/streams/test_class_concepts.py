"""Classes in two parts, for meta-training and for meta-test."""

from __future__ import annotations

import numpy as np
import pytest

from metacl_run.core.errors import SettingError
from metacl_run.data.streams.class_concepts import ClassConcepts
from tests.support.point_sources import GroupedPoints, numbers


def concepts(**changes: float) -> ClassConcepts:
    return ClassConcepts(source=GroupedPoints(), **{"meta_test_classes": 3, "test_examples": 2, **changes})


@pytest.mark.parametrize(("share", "count"), [(3, 3), (0.3, 3), (1, 1), (0.5, 4)])
def test_meta_test_classes_are_a_number_or_a_fraction(share: float, count: int) -> None:
    stream = concepts(meta_test_classes=share)
    stream.check(2)
    assert [stream.count_concepts(split) for split in ("meta_train", "meta_test")] == [9 - count, count]
    assert stream.count_examples() == (4, 2)  # the smallest class has six


def test_the_last_classes_are_for_meta_test() -> None:
    pool = concepts().load([0])
    first_rows = np.cumsum([0, *range(6, 14)])  # classes have 6, 7, .. 14 examples
    places = np.array([[4, 0]])
    for split, first_class in (("meta_train", 0), ("meta_test", 6)):
        x, y = pool.gather(split, np.array([[0, 2]]), np.array([[5, 1]]), places)
        assert numbers(x).tolist() == [[first_rows[first_class] + 5, first_rows[first_class + 2] + 1]]
        assert y.tolist() == places.tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"meta_test_classes": 1.5}, "meta_test_classes=1.5: must be a number of classes, or a fraction of at least 0"),
        ({"meta_test_classes": 9}, "meta_test_classes=9: must leave at least one of the 9 classes to each of meta-training"),
        ({"meta_test_classes": 0}, "meta_test_classes=0: must leave at least one of the 9 classes"),
        ({"test_examples": 6}, "test_examples=6: must be less than the 6 examples of class class 0"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        concepts(**changes).check(2)
