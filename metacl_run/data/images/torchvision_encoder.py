"""Features of a pretrained network of torchvision that stays as it is: what its last linear layer, the classifier, receives."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metacl_run.core.errors import DataError, SettingError, described, nearest, shown
from metacl_run.data.encoders.pretrained import encoding_device, one_message
from metacl_run.data.encoders.weights_digest import digest_of
from metacl_run.data.files.cache import cached
from metacl_run.data.files.fetching import giving_up_stalled_connections
from metacl_run.data.files.torchvision_guard import torchvision_module
from metacl_run.data.images.image_encoder import ImageEncoder

VERSION = 1
"""Part of the fingerprint: raise it when an image gets other features from the same weights."""
EXAMPLE = "torchvision:resnet18"
INSTEAD = "data.encoder=pixels needs no network"
NOT_USED = ("googlenet", "inception_v3", "squeezenet1_0", "squeezenet1_1", "vit_h_14")
"""Networks that scale images in a way of their own, end without a linear layer, or are built in another size than weights."""

OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.(?:weight|bias|running_mean|running_var))$")
"""Keys of the hub's weights for DenseNet, `norm.1.weight` for `norm1.weight`: torchvision renames them when it loads them."""


class TorchvisionEncoder(ImageEncoder):
    """Resizes, crops and scales images as the network's weights ask for, and runs it without its classifier, in float32.

    It runs on the first CUDA device where there is one, by deterministic algorithms, and is never in training mode. Grey images
    have their channel three times. Weights are those of torchvision's hub, or a file of a state dict, as of
    `torch.save(network.state_dict(), file)`: a pickle of tensors alone, or safetensors. The classifier's part of it is not used
    and may have any number of classes. A file is scaled as the weights of its name on the hub, else as the network's
    default weights: images of ImageNet's statistics, cropped to 224 pixels for most networks.
    """

    at_once = 64

    def __init__(self, argument: str, network: str, weights: Any, file: Path) -> None:
        self.name, self._network, self._weights, self._file = f"torchvision:{argument}", network, weights, file
        self.shape = (_width(network),)

    @classmethod
    def of(cls, argument: str | None) -> TorchvisionEncoder:
        """torchvision:NETWORK, whose default weights are fetched where they are not there yet, or torchvision:NETWORK:FILE."""
        if not argument:
            raise SettingError("encoder", "torchvision", f"needs a network of torchvision, as in {EXAMPLE}")
        network, colon, file = argument.partition(":")
        models = torchvision_module("models")
        names = [name for name in models.list_models(module=models) if name not in NOT_USED]
        if network not in names:
            there_are = nearest(network, names) or f" There are: {', '.join(names)}"
            allowed = f"torchvision {_version()} has no such network that can be used here.{there_are}"
            raise SettingError("encoder", f"torchvision:{argument}", allowed)
        known = models.get_model_weights(network)
        if not colon:
            return cls(argument, network, known.DEFAULT, _from_hub(network, known.DEFAULT))
        path = Path(file).expanduser()
        if not path.is_file():
            allowed = f"there is no file {path}; a state dict is expected there, as .pth or .safetensors; {INSTEAD}"
            raise SettingError("encoder", f"torchvision:{argument}", allowed)
        return cls(argument, network, next((own for own in known if _file_name(own) == path.name), known.DEFAULT), path)

    @cached_property
    def fingerprint(self) -> str:
        return f"version {VERSION}, torchvision {_version()} {self._network} {self._weights.name} {digest_of([self._file])}"

    def encode(self, raw: np.ndarray) -> np.ndarray:
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with one_message(self.name, INSTEAD), torch.inference_mode(), exact:
            images = torch.from_numpy(raw).to(encoding_device())
            inputs = self._weights.transforms()(images.expand(-1, 3, -1, -1))
            features: Tensor = self._body(inputs)
            return features.cpu().numpy()

    @cached_property
    def _body(self) -> nn.Module:
        """The network with its weights, its classifier replaced by the identity. Raises DataError."""
        module = _built(self._network)
        classifier, _ = _last_linear(module)
        place, _, own = classifier.rpartition(".")
        setattr(module.get_submodule(place), own, nn.Identity())
        state = _state_dict(self._file)
        if self._network.startswith("densenet"):
            for key in [key for key in state if OLD_DENSENET.match(key)]:
                state[OLD_DENSENET.sub(r"\1\2", key)] = state.pop(key)
        for key in [key for key in state if key.startswith(f"{classifier}.")]:
            del state[key]  # in place, since the dictionary may carry the layers' versions
        _load(module, state, f"{self._file} has no weights of {self._network}")
        return module.eval().requires_grad_(False).to(encoding_device())


def _version() -> str:
    return importlib.metadata.version("torchvision")


def _built(network: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        module: nn.Module = torchvision_module("models").get_model(network, weights=None)
    return module


def _last_linear(module: nn.Module) -> tuple[str, nn.Linear]:
    """The name of the last linear layer, and the layer."""
    return [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear)][-1]


def _width(network: str) -> int:
    """Features before the classifier. To know them the network must be built, which takes seconds for some: it is done once."""

    def make() -> np.ndarray:
        return np.array([_last_linear(_built(network))[1].in_features])

    return int(cached(["torchvision features", _version(), network], make, folder="digests")[0])


def _state_dict(file: Path) -> dict[str, Tensor]:
    """Reads tensors by name; no other object is made from a pickle. Raises DataError."""
    try:
        if file.suffix == ".safetensors":
            return _safetensors(file)
        state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except (MemoryError, DataError):
        raise
    except Exception as error:  # a broken pickle raises whatever its bytes happen to ask for
        raise DataError(f"{file}: is no state dict that can be read ({type(error).__name__}); {INSTEAD}.") from None
    if not (isinstance(state, Mapping) and all(isinstance(value, Tensor) for value in state.values())):
        expected = "the state dict of a network, tensors by name, was expected: torch.save(network.state_dict(), FILE)"
        raise DataError(f"{file}: {expected}; {INSTEAD}.")
    return dict(state) if not isinstance(state, dict) else state


def _safetensors(file: Path) -> dict[str, Tensor]:
    if importlib.util.find_spec("safetensors") is None:
        raise DataError(f"{file}: needs the package safetensors: pip install 'metacl-run[hf]'; a .pth file needs none.")
    from safetensors.torch import load_file

    state: dict[str, Tensor] = load_file(file)
    return state


def _load(module: nn.Module, state: dict[str, Tensor], otherwise: str) -> None:
    """Copies a state dict into a module, which has to be all of it. Raises DataError, whose message starts with `otherwise`."""
    try:
        result = module.load_state_dict(state, strict=False)
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{otherwise}: {shown(str(error).splitlines()[-1].strip())}; {INSTEAD}.") from None
    for what, keys in (("it lacks", result.missing_keys), ("it also has", result.unexpected_keys)):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise DataError(f"{otherwise}: {what} {keys[0]}{more}; {INSTEAD}.")


def _file_name(weights: Any) -> str:
    return str(weights.url).rpartition("/")[2]


def _from_hub(network: str, weights: Any) -> Path:
    """The file of weights of torchvision's hub: as it was fetched before, else fetched now.

    Raises:
        SettingError: it cannot be fetched.
    """
    file = Path(torch.hub.get_dir(), "checkpoints", _file_name(weights))
    try:
        if not file.is_file():
            with giving_up_stalled_connections():
                weights.get_state_dict(progress=sys.stderr.isatty(), check_hash=True)
        if file.is_file():
            return file
        reason = "it came under another name"
    except Exception as error:  # of the network's many layers
        reason = described(error)
    allowed = (
        f"its weights are not at {file}, and cannot be fetched from {weights.url} ({reason}). A file that was fetched "
        f"elsewhere works without a network, put there or named, as in torchvision:{network}:FILE; {INSTEAD}"
    )
    raise SettingError("encoder", f"torchvision:{network}", allowed)
