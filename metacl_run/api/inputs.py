"""A user's own examples as inputs of a network: tensors, arrays, texts, PIL images or paths of image files.

Shapes: N examples.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeAlias, Union

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from metacl_run.core.errors import DataError
from metacl_run.core.types import cast_floats
from metacl_run.data.images.image_source import AnyImageSource
from metacl_run.data.images.own_images import own_image
from metacl_run.data.sources.source import inputs_of
from metacl_run.data.text.text_encoder import encoder_of
from metacl_run.data.text.text_source import EncodedSource
from metacl_run.data.text.words import without_surrogates

Examples: TypeAlias = Union[Tensor, np.ndarray, Image.Image, str, "os.PathLike[str]", Sequence[Any]]
"""A tensor or array [N, *input shape] or [*input shape]; a text or an image, or several."""
SLACK = 1e-3
"""By which interpolation may leave the range of pixels."""


def as_inputs(examples: Examples, *, name: str, source: Any, input_shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """[N, *input shape] of `dtype`; uint8 stands for numbers in [0, 1].

    Arrays are used directly as inputs of the network. Texts are encoded as those of the source were. Images are first converted
    to its form (`own_image`), and encoded if its examples are.

    Args:
        examples: one or several.
        name: of the argument, for messages.
        source: of the run.
        input_shape: of one example.
        dtype: of the run's parameters.

    Raises:
        DataError: they are no examples of this shape, or hold numbers that no example has.
    """
    if isinstance(source, EncodedSource) and (texts := _as_texts(examples)):
        encoded = encoder_of(source.encoder).encode([without_surrogates(text) for text in texts])
        return cast_floats(inputs_of(torch.from_numpy(encoded)), dtype)
    if not is_numbers(examples):
        several = examples if isinstance(examples, Sequence) and not isinstance(examples, str) else [examples]
        return _images(list(several), name, source).to(dtype)
    try:
        tensor = examples if isinstance(examples, Tensor) else torch.from_numpy(np.array(examples))
    except (TypeError, ValueError, RuntimeError):
        raise DataError(f"{name}: is a {type(examples).__name__}, not a tensor, array or image, nor a list of them") from None
    shape = tuple(input_shape)
    if tuple(tensor.shape) == shape:
        tensor = tensor.unsqueeze(0)
    if tuple(tensor.shape[1:]) != shape or not len(tensor):
        raise DataError(
            f"{name}: has the shape {list(tensor.shape)}; this learner takes {['N', *shape]}".replace("'", "")
            + f" for N examples, or {list(shape)} for one"
        )
    inputs = inputs_of(tensor)
    _check_values(inputs, name, source)
    return cast_floats(inputs, dtype)


def is_numbers(examples: Examples) -> bool:
    """Whether examples are tensors, arrays or lists of numbers; otherwise some are texts, images or paths of images."""
    return not (_is_image(examples) or (isinstance(examples, Sequence) and any(map(_is_image, examples))))


def _check_values(inputs: Tensor, name: str, source: Any) -> None:
    """Refuses numbers that no example of the source can have. Raises DataError."""
    if not inputs.is_floating_point():
        return
    if not inputs.isfinite().all():
        raise DataError(f"{name}: holds NaN or infinity")
    if isinstance(source, AnyImageSource) and not source.encodes and (inputs.min() < -SLACK or inputs.max() > 1 + SLACK):
        raise DataError(
            f"{name}: holds numbers from {inputs.min():.4g} to {inputs.max():.4g}; images are numbers from 0 to 1, or uint8 "
            "from 0 to 255"
        )


def _as_texts(examples: Examples) -> list[str]:
    """One or several texts as a list; none where they are something else."""
    texts = [examples] if isinstance(examples, str) else examples
    return list(texts) if isinstance(texts, Sequence) and all(isinstance(text, str) for text in texts) else []


def _images(images: list[Any], name: str, source: Any) -> Tensor:
    if not isinstance(source, AnyImageSource):
        instead = "texts, a tensor or an array" if isinstance(source, EncodedSource) else "a tensor or an array"
        raise DataError(f"{name}: holds images, but {type(source).__name__} has none; give {instead}")
    if wrong := next((image for image in images if not _is_image(image)), None):
        raise DataError(f"{name}: holds images and something else, a {type(wrong).__name__}")
    pixels = np.stack([own_image(source, image) for image in images])
    return inputs_of(torch.from_numpy(source.examples_of(pixels)))


def _is_image(value: Any) -> bool:
    return isinstance(value, (Image.Image, str, os.PathLike))
