"""One hidden layer of tanh units."""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from metacl_run.core.bounds import Width
from metacl_run.models.network import Model


class TanhModule(nn.Module):
    """An ordinary module. Its last layer is called `head`, so that methods which adapt the last layer alone find it."""

    def __init__(self, size: int, width: int, head: nn.Module) -> None:
        super().__init__()
        self.body = nn.Linear(size, width)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x.flatten(1)).tanh())


@dataclass(frozen=True, kw_only=True)
class TanhNet(Model):
    """One hidden layer of tanh units."""

    width: Width

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        head = nn.Identity() if num_outputs is None else nn.Linear(self.width, num_outputs)
        return TanhModule(math.prod(input_shape), self.width, head)
