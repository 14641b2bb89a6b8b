"""Arrays of the host on their way to the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def upload(arrays: Sequence[np.ndarray], device: torch.device) -> list[Tensor]:
    """Returns arrays as tensors on a device.

    To a card they go in one copy for every dtype, from pinned memory, and the host does not wait for it.
    """
    if device.type == "cpu":
        return [torch.from_numpy(np.array(array)) for array in arrays]
    tensors: dict[int, Tensor] = {}
    for dtype in dict.fromkeys(array.dtype for array in arrays):
        places = [place for place, array in enumerate(arrays) if array.dtype == dtype]
        side_by_side = torch.from_numpy(np.concatenate([arrays[place].reshape(-1) for place in places]))
        copies = side_by_side.pin_memory().to(device, non_blocking=True).split([arrays[place].size for place in places])
        tensors |= {place: copy.view(arrays[place].shape) for place, copy in zip(places, copies, strict=True)}
    return [tensors[place] for place in range(len(arrays))]
