"""A network whose features one branch computes and another multiplies (ANML, Beaulieu et al. 2020, arXiv 2002.09571)."""

from __future__ import annotations

from torch import Tensor, nn

from metacl_run.models.layers import BodyHead
from metacl_run.models.split_network import Splittable


class GatedNetwork(nn.Module, Splittable):
    """`body`, whose features `gate` multiplies, and then `head`.

    Where body and head are plastic, the gate is the part that is computed once.
    """

    def __init__(self, gate: nn.Module, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.gate, self.body, self.head = gate, body, head

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(x) * self.gate(x))
        return outputs

    def split(self, plastic: set[str]) -> tuple[nn.Module, nn.Module] | None:
        return (_GateAlone(self.gate), _BodyHeadGated(self.body, self.head)) if plastic == {"body", "head"} else None


class _GateAlone(nn.Module):
    """x -> (x, gate(x)): the part without a parameter of body and head."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, self.gate(x)


class _BodyHeadGated(BodyHead):
    """(x, gate(x)) -> outputs."""

    def forward(self, gated: tuple[Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        x, gate = gated
        outputs: Tensor = self.head(self.body(x) * gate)
        return outputs
