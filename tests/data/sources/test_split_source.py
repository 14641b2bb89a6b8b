"""A source in two parts, read as one."""

from __future__ import annotations

import numpy as np
import pytest

from metacl_run.core.errors import DataError
from metacl_run.data.sources.source import Catalogue, LabelledExamples, SplitExamples
from tests.support.point_sources import SplitPoints


def test_classes_of_both_parts_come_one_after_another() -> None:
    source = SplitPoints()
    examples, parts = source.read(), source.read_parts()
    assert examples.catalogue.counts.tolist() == [16 + 2 * number for number in range(7)]
    labels = parts.y[examples.x[:, 0].astype(int)]
    assert labels.tolist() == np.repeat(np.arange(7), examples.catalogue.counts).tolist()


def test_rows_in_any_order_are_sorted_by_class() -> None:
    catalogue = Catalogue(names=["a", "b"], counts=np.array([2, 3]), groups=["a", "b"])
    x, labels = np.array([[5.0], [1.0], [6.0], [2.0], [7.0]]), np.array([1, 0, 1, 0, 1])
    assert LabelledExamples.from_labels(catalogue, x, labels).x.ravel().tolist() == [1, 2, 5, 6, 7]


def test_examples_that_cannot_be_are_one_message() -> None:
    catalogue = Catalogue(names=["a", "b"], counts=np.array([2, 3]), groups=["a", "b"])
    with pytest.raises(DataError, match=r"^4 examples were read, but the catalogue counts 5\.$"):
        LabelledExamples(catalogue=catalogue, x=np.zeros((4, 2)))
    with pytest.raises(DataError, match=r"^1 of 5 examples have numbers that are not finite"):
        LabelledExamples(catalogue=catalogue, x=np.array([[0.0], [1.0], [np.nan], [2.0], [3.0]]))
    x, y, broken = np.zeros((3, 2), np.float32), np.zeros(3, np.int64), np.array([[0, np.inf], [1, 2]], np.float32)
    with pytest.raises(DataError, match=r"^1 of 2 examples have numbers that are not finite"):
        SplitExamples(x=broken, y=y[:2], num_train=1)
    with pytest.raises(DataError, match=r"^1 of 2 out-of-scope examples have numbers that are not finite"):
        SplitExamples(x=x, y=y, num_train=2, out_of_scope=broken)
    with pytest.raises(ValueError, match="2 names, 2 counts, 1 groups"):
        Catalogue(names=["a", "b"], counts=np.array([2, 3]), groups=["a"])
