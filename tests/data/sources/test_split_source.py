"""A source in two parts, read as one."""

from __future__ import annotations

import numpy as np

from tests.support.point_sources import SplitPoints


def test_classes_of_both_parts_come_one_after_another() -> None:
    source = SplitPoints()
    examples, parts = source.read(), source.read_parts()
    assert examples.catalogue.counts.tolist() == [16 + 2 * number for number in range(7)]
    labels = parts.y[examples.x[:, 0].astype(int)]
    assert labels.tolist() == np.repeat(np.arange(7), examples.catalogue.counts).tolist()
