"""EWC++: elastic weight consolidation with one penalty, whose Fisher information is a moving average over training.

    metacl-run algo=ewc_pp data=rotated_mnist

Chaudhry, Dokania, Ajanthan, Torr 2018 (arXiv 1801.10112, section 4). g is the gradient of the loss L of a batch alone, F the
Fisher information. After every `interval` updates of a task

    F <- fisher_rate * mean of g^2 over these updates + (1 - fisher_rate) * F

and with theta~ the parameters at the end of the last task

    loss = L + strength * sum of unit(F at that end) * (theta - theta~)^2

where unit(v) = (v - min v) / (max v - min v) over the whole network. The code of A-GEM (arXiv 1812.00420) calls this EWC.

Differences from the paper:
 1. F is of the squared gradient of the mean loss of a batch, with the true targets, and `unit` is over the whole network, both
    as in the code of A-GEM, by the same authors. The paper defines F by single samples.
 2. The updates of a task after its last whole interval do not enter F. In that code an interval ends one update earlier: it is
    the last update of an interval that enters the next one.
"""

from __future__ import annotations

from dataclasses import dataclass

from metacl_run.algorithms.online.running_fisher import RunningFisher, RunningFisherState


@dataclass(frozen=True, kw_only=True)
class EwcPlusPlus(RunningFisher[RunningFisherState]):
    """SGD with a quadratic penalty, weighted by a moving average of the Fisher information."""
