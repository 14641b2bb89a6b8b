"""A model that starts with the parameters that another run learned (`start_from=<run directory>`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from metacl_run.core.errors import ConfigError
from metacl_run.core.types import Params
from metacl_run.models.network import HEAD, Model


@dataclass(frozen=True, kw_only=True)
class LearnedModel(Model):
    """A model with the representation of another run.

    All layers but the head must be the same. The head is copied if it is also the same; otherwise it starts with new weights,
    since the runs may have different classes, or one of them no head.

    Attributes:
        inner: the model of this run.
        learned: by seed, the parameters that the other run ended with.
        origin: its directory, for messages.
    """

    inner: Model
    learned: Mapping[int, Params]
    origin: str

    @property
    def takes_tokens(self) -> bool:  # type: ignore[override]
        return self.inner.takes_tokens

    def build(self, input_shape: tuple[int, ...], num_outputs: int | None) -> nn.Module:
        return self.inner.build(input_shape, num_outputs)

    def start(self, params: Params, seed: int) -> Params:
        """Returns `params` with what the other run learned with the same seed.

        Shapes do not depend on the seed: with one that is not there, which `config.load` refuses, they can be checked.

        Raises:
            ConfigError: a layer other than the head is not alike.
        """
        learned = self.learned.get(seed, next(iter(self.learned.values())))
        own, other = ({name: tuple(value.shape) for name, value in tree.items()} for tree in (params, learned))
        differing = [name for name in {**own, **other} if not _in_head(name) and own.get(name) != other.get(name)]
        if differing:
            raise ConfigError(self._message(differing[0], own, other))
        names = own.keys() if same_head(params, learned) else [name for name in own if not _in_head(name)]
        return {name: learned[name].to(value.dtype) if name in names else value for name, value in params.items()}

    def _message(self, name: str, own: Mapping[str, tuple[int, ...]], other: Mapping[str, tuple[int, ...]]) -> str:
        sides = [f"{list(shapes[name])}" if name in shapes else "missing" for shapes in (other, own)]
        return (
            f"start_from={self.origin}: the networks differ: {name} is {sides[0]} there and {sides[1]} here. Every layer but "
            "the head must be alike: choose the model, its settings and data of the same input shape as that run"
        )


def same_head(params: Params, learned: Params) -> bool:
    """Whether both have a head, of the same parameters and shapes."""
    own, other = ({name: value.shape for name, value in tree.items() if _in_head(name)} for tree in (params, learned))
    return own == other and bool(own)


def _in_head(name: str) -> bool:
    return name.split(".")[0] == HEAD
