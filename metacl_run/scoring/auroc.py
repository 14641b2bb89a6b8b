"""The area under the receiver operating characteristic: how well one number tells two groups apart."""

from __future__ import annotations

import numpy as np


def auroc(higher: np.ndarray, lower: np.ndarray) -> float:
    """Returns the share of pairs, one of either group, in which that of `higher` is the larger; ties count half.

    It is Mann and Whitney's U over the number of pairs: 1 where the groups do not overlap, .5 where the number says nothing.

    Args:
        higher, lower: [N], [K] the numbers of both groups, at least one each; a NaN anywhere makes the area NaN.
    """
    if np.isnan(higher).any() or np.isnan(lower).any():
        return float("nan")
    ordered = np.sort(lower)
    below, up_to = (np.searchsorted(ordered, higher, side=side) for side in ("left", "right"))
    return float((below + up_to).sum() / (2 * len(higher) * len(lower)))
