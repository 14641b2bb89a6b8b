"""How a meta-learned representation answers to unseen concepts: sparsity, dead units, average activations (Javed and White
2019, arXiv 1905.12588, section 5); the activity of a gate by class (Beaulieu et al. 2020, arXiv 2002.09571).

Shapes: R replicates, D features, K concepts, U units of a gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metacl_run.core.types import Pytree
from metacl_run.models.base import HEAD, Network
from metacl_run.models.split_network import SplitNetwork

LOOKED_AT = 400
"""Examples that the representation is described on."""
SHOWN = 3
"""Of them, how many are kept one by one, spread evenly."""
GATED_CONCEPTS, GATE_UNITS = 30, 128
"""Of how many concepts, and of how many units spread evenly, the gate is shown."""


def describe(network: Network, metas: Sequence[Pytree], x: Tensor) -> dict[str, list[Any]]:
    """What the last layer is given for `x` [K, examples, ...], by replicate: "active", the mean share of features above 0 for
    an example; "dead", the share of those never above; "mean" [D]; "examples" [SHOWN][D]."""
    found: dict[str, list[Any]] = {"active": [], "dead": [], "mean": [], "examples": []}
    flat = x.flatten(0, 1)
    shown = torch.linspace(0, len(flat) - 1, min(SHOWN, len(flat))).round().long()
    for meta in metas:
        features = _features(network, meta["params"], flat).flatten(1).double().cpu()
        above = features > 0
        found["active"].append(above.double().mean().item())
        found["dead"].append((~above.any(0)).double().mean().item())
        found["mean"].append(_short(features.mean(0)))
        found["examples"].append([_short(features[index]) for index in shown])
    return found


def gate_activity(network: Network, metas: Sequence[Pytree], x: Tensor) -> dict[str, Any] | None:
    """{"activity": [R][K][U]} of the group `gate`, mean over the examples of each concept in `x` [K, examples, ...]; None where
    the network has no such group."""
    if "gate" not in dict(network.module.named_children()):
        return None
    activity = []
    for meta in metas:
        with torch.no_grad():
            _, gate = SplitNetwork(network, meta["params"], ["body", HEAD]).frozen(meta["params"], x.flatten(0, 1))
        by_concept = gate.unflatten(0, x.shape[:2]).mean(1).cpu()
        units = torch.linspace(0, by_concept.shape[1] - 1, min(by_concept.shape[1], GATE_UNITS)).round().long()
        activity.append([_short(row) for row in by_concept[:, units]])
    return {"activity": activity}


def _features(network: Network, params: Any, x: Tensor) -> Tensor:
    has_head = any(name.split(".")[0] == HEAD for name in params)
    with torch.no_grad():
        return SplitNetwork(network, params, [HEAD]).frozen(params, x) if has_head else network(params, x)


def _short(values: Tensor) -> list[float]:
    """As a list with five digits, which is what pictures need."""
    return [float(f"{value:.5g}") for value in values.tolist()]
