"""The interface of an encoder, which turns texts or images into what a network takes, and the choice of one by name."""

from __future__ import annotations

import abc
import importlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from metacl_run.core.errors import SettingError, nearest

RawT = TypeVar("RawT", Sequence[str], np.ndarray)
"""What is encoded: texts, or images [N, channels, side, side] uint8."""


class Encoder(abc.ABC, Generic[RawT]):
    """Turns texts or images into arrays, each by itself and always alike."""

    name: str
    """As `data.encoder` has it."""
    shape: tuple[int, ...]
    """Of one encoded text or image."""
    dtype: type[np.generic] = np.float32
    """float32 for features, int64 for token numbers."""
    at_once: ClassVar[int] = 512
    """How many are passed to `encode` at a time."""

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """What the features depend on: the method, its version, a digest of the weights. Enters the run id and the cache."""

    @abc.abstractmethod
    def encode(self, raw: RawT) -> np.ndarray:
        """Encodes texts or images.

        Returns:
            [N, *shape] of `dtype`.
        """


def named_encoder(setting: str, classes: Mapping[str, str], *, beside: Sequence[str] = ()) -> Encoder[Any]:
    """The encoder that a setting names: its name alone, or with an argument after a colon, as in sentence:FOLDER.

    Args:
        setting: as `data.encoder` has it.
        classes: the class of every encoder by its name. It has a classmethod `of`, which takes the argument or None.
        beside: what else the setting may be, for messages.

    Raises:
        SettingError: there is no such encoder, its argument is wrong, or a package or its weights are missing.
    """
    name, colon, argument = setting.partition(":")
    if name not in classes:
        names = [*beside, *classes]
        raise SettingError("encoder", setting, f"must be one of {', '.join(names)}.{nearest(name, names)}")
    module, _, class_name = classes[name].rpartition(".")
    encoder: Encoder[Any] = getattr(importlib.import_module(module), class_name).of(argument if colon else None)
    return encoder
