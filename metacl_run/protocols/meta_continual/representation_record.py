"""The response of a meta-learned representation to unseen concepts: sparsity, dead units, average activations (Javed and White
2019, arXiv 1905.12588, section 5); the activity of a gate by class (Beaulieu et al. 2020, arXiv 2002.09571).

Shapes: R replicates, D features, K concepts, U units of a gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.types import Pytree, cast_floats
from metacl_run.models.network import HEAD
from metacl_run.models.split_network import SplitNetwork, representation
from metacl_run.protocols.meta_continual.setup import SequenceSetup

DESCRIBED = 400
"""Examples that the representation is described on, about."""
SINGLE_EXAMPLES = 3
"""How many of them are recorded one by one, spread evenly."""
GATED_CONCEPTS, GATE_UNITS = 30, 128
"""The most concepts, and units spread evenly, that the activity of a gate is recorded for."""


def describe(setup: SequenceSetup, metas: Sequence[Pytree]) -> dict[str, list[Any]]:
    """The inputs of the last layer for held-out examples, by replicate: "active", the mean share of features above 0 for
    an example; "dead", the share of those never above; "mean" [D]; "examples" [SINGLE_EXAMPLES][D]."""
    content: dict[str, list[Any]] = {"active": [], "dead": [], "mean": [], "examples": []}
    flat = _held_out_examples(setup, -(-DESCRIBED // setup.held_out)).flatten(0, 1)
    single = torch.linspace(0, len(flat) - 1, min(SINGLE_EXAMPLES, len(flat))).round().long()
    for meta in metas:
        with torch.no_grad():
            features = representation(setup.network, meta["params"], flat).flatten(1).double().cpu()
        above = features > 0
        content["active"].append(above.double().mean().item())
        content["dead"].append((~above.any(0)).double().mean().item())
        content["mean"].append(_short(features.mean(0)))
        content["examples"].append([_short(features[index]) for index in single])
    return content


def gate_activity(setup: SequenceSetup, metas: Sequence[Pytree]) -> dict[str, Any] | None:
    """{"activity": [R][K][U]} of the group `gate`, mean over the held-out examples of each concept; None where the network has
    no such group."""
    network = setup.network
    if "gate" not in dict(network.module.named_children()):
        return None
    x, activity = _held_out_examples(setup, GATED_CONCEPTS), []
    for meta in metas:
        with torch.no_grad():
            _, gate = SplitNetwork(network, meta["params"], ["body", HEAD]).frozen(meta["params"], x.flatten(0, 1))
        by_concept = gate.reshape(*x.shape[:2], -1).mean(1).cpu()
        units = torch.linspace(0, by_concept.shape[1] - 1, min(by_concept.shape[1], GATE_UNITS)).round().long()
        activity.append([_short(row) for row in by_concept[:, units]])
    return {"activity": activity}


def _held_out_examples(setup: SequenceSetup, most: int) -> Tensor:
    """[K, H, ...] the held-out examples of the first meta-test concepts, at most so many."""
    count = min(setup.counts["meta_test"], most)
    examples = np.broadcast_to(setup.learned + np.arange(setup.held_out), (count, setup.held_out))
    numbers = np.broadcast_to(np.arange(count)[:, None], examples.shape)
    x, _ = setup.pool.gather("meta_test", numbers, examples, np.zeros_like(examples))
    return cast_floats(x, setup.dtype)


def _short(values: Tensor) -> list[float]:
    """As a list with five digits, which is what pictures need."""
    return [float(f"{value:.5g}") for value in values.tolist()]
