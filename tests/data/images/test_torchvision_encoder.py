"""Features of torchvision's networks: against the network run by hand, what acts before the encoder, wrong files, the cache."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from metacl_run.api.inputs import as_inputs
from metacl_run.config.compose import experiment_of
from metacl_run.core.errors import ConfigError, DataError, SettingError
from metacl_run.data.encoders import features
from metacl_run.data.files.torchvision_guard import torchvision_module
from metacl_run.data.images.image_encoder import encoder_of
from metacl_run.data.images.image_features import encoded
from metacl_run.data.images.own_images import own_image
from metacl_run.data.images.torchvision_encoder import TorchvisionEncoder

NETWORK = "mobilenet_v3_small"
MEAN, DEVIATION = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
SMALL = {"train_hands": 1, "test_hands": 1, "image_size": 8}
"""Of data=rotated_digits: ten training images and ten test images."""


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of random weights, under which features differ between images."""
    file = tmp_path_factory.mktemp("weights") / "small.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = torchvision_module("models").get_model(NETWORK, weights=None).state_dict()
    state["classifier.0.weight"] *= 1e9  # random layers shrink their inputs
    torch.save(state, file)
    return file


@pytest.fixture
def setting(weights: Path) -> str:
    return f"torchvision:{NETWORK}:{weights}"


def images(count: int, channels: int, side: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, channels, side, side), dtype=np.uint8)


def by_hand(weights: Path, pixels: np.ndarray) -> np.ndarray:
    """Features before the last layer, image by image, from the whole network in evaluation mode."""
    module = torchvision_module("models").get_model(NETWORK, weights=None)
    module.load_state_dict(torch.load(weights, weights_only=True))
    module.eval()
    received: list[torch.Tensor] = []
    module.classifier[3].register_forward_pre_hook(lambda _, inputs: received.append(inputs[0]))
    for image in torch.from_numpy(pixels):
        x = F.interpolate(image[None].float(), size=(256, 256), mode="bilinear", antialias=True).round() / 255
        x = x[:, :, 16:240, 16:240].expand(1, 3, -1, -1)
        with torch.no_grad():
            module((x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1))
    return torch.cat(received).numpy()


def close(features: np.ndarray, expected: np.ndarray) -> bool:
    """Whether features agree to a thousandth of how much they differ between images."""
    differ = expected.std(0).max()
    assert differ > 0
    return features.shape == expected.shape and bool(np.abs(features - expected).max() < 1e-3 * differ)


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 300)])
def test_features_are_those_of_the_network_run_by_hand(weights: Path, setting: str, channels: int, side: int) -> None:
    pixels, state = images(3, channels, side), torch.random.get_rng_state()
    encoder = TorchvisionEncoder.of(setting.partition(":")[2])
    result = encoder.encode(pixels)
    assert (encoder.shape, result.dtype) == ((1024,), np.float32)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert close(result, by_hand(weights, pixels))
    assert np.array_equal(encoder.encode(pixels), result)


def test_the_classifier_may_be_another_or_missing(tmp_path: Path, weights: Path) -> None:
    state = torch.load(weights, weights_only=True)
    expected = TorchvisionEncoder.of(f"{NETWORK}:{weights}").encode(images(2, 3, 8))
    for number, classifier in enumerate(
        ({"classifier.3.weight": torch.zeros(7, 1024), "classifier.3.bias": torch.zeros(7)}, {})
    ):
        body = {key: value for key, value in state.items() if not key.startswith("classifier.3.")}
        torch.save({**body, **classifier}, file := tmp_path / f"{number}.pth")
        assert np.array_equal(TorchvisionEncoder.of(f"{NETWORK}:{file}").encode(images(2, 3, 8)), expected)


def test_safetensors_are_read(tmp_path: Path, weights: Path) -> None:
    torch_files = pytest.importorskip("safetensors.torch")
    torch_files.save_file(torch.load(weights, weights_only=True), file := tmp_path / "small.safetensors")
    expected = TorchvisionEncoder.of(f"{NETWORK}:{weights}").encode(images(2, 3, 8))
    assert np.array_equal(TorchvisionEncoder.of(f"{NETWORK}:{file}").encode(images(2, 3, 8)), expected)


def test_the_old_keys_of_densenet_are_those_of_its_layers(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = torchvision_module("models").get_model("densenet121", weights=None).state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.(?!num_batches)", r"\1.\2.", key): state[key] for key in state}
    old = {key: value for key, value in old.items() if "num_batches" not in key}  # as they were before they were counted
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    features = []
    for name, content in (("new", state), ("old", old)):
        torch.save(content, file := tmp_path / f"{name}.pth")
        features.append(TorchvisionEncoder.of(f"densenet121:{file}").encode(images(2, 3, 8)))
    assert features[0].any()
    assert np.array_equal(*features)


def test_every_network_ends_with_the_classifier() -> None:
    """The last linear layer has as many outputs as ImageNet classes, and no parameter comes after it."""
    models = torchvision_module("models")
    for name in ("alexnet", "densenet121", "vit_b_16", "swin_t", "shufflenet_v2_x1_0", "efficientnet_b0", "convnext_tiny"):
        with torch.device("meta"):
            module = models.get_model(name, weights=None)
        linear = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)][-1]
        assert linear.out_features == 1000
        assert list(module.parameters())[-1] is linear.bias


# ------------------------------------------------------------------------------------------------- what acts before it


def test_a_shift_acts_on_pixels(make: Callable[..., Any], weights: Path, setting: str) -> None:
    settings = {**SMALL, "num_tasks": 2, "train_per_task": 2, "test_per_task": 1}
    for kind in ("rotate", "permute"):
        plain, features = (make("rotated_digits", shift=kind, **settings, encoder=own) for own in ("pixels", setting))
        assert features.input_shape == (1024,)
        pixels, pool = plain.load([0, 1]), features.load([0, 1])
        assert pool.task_names == pixels.task_names
        for seed in (0, 1):
            whole = np.arange(4)
            x = pixels.gather(seed, whole).x.mul(255).round().to(torch.uint8).numpy()
            assert close(pool.gather(seed, whole).x.numpy(), by_hand(weights, x))
            assert np.array_equal(pool.origins(seed), pixels.origins(seed))


def test_episodes_of_shifted_images(make: Callable[..., Any], weights: Path, setting: str) -> None:
    """Every class of a task is shown under that task's own permutation of the pixels, which differs between seeds."""
    settings = {"num_classes": 6, "num_scripts": 1, "images_per_class": 2, "num_tasks": 2, "test_classes": 1, "ways": 2}
    own = {"image_size": 8, "shift": "permute", "queries": 1, "tasks_from": "characters", "classes_per_task": 3}
    streams = [make("split_glyphs", **settings, **own, encoder=encoder) for encoder in ("pixels", setting)]
    episodes = []
    for stream in streams:
        rngs = [np.random.default_rng(seed) for seed in (0, 1)]
        episodes.append(stream.load([0, 1]).sample(np.array([[0, 1]] * 2), "train", shots=1, queries=1, rngs=rngs))
    pixels = episodes[0].support_x.mul(255).round().to(torch.uint8).flatten(0, 2).numpy()
    assert episodes[1].support_x.shape == (2, 2, 2, 1024)
    assert close(episodes[1].support_x.flatten(0, 2).numpy(), by_hand(weights, pixels))


def test_what_changes_pixels_later_is_refused(make: Callable[..., Any], setting: str) -> None:
    with pytest.raises(ConfigError, match=r"^data.augment=crop_flip: changes pixels anew each time, but data.encoder=torchv"):
        make("split_glyphs", "online", encoder=setting, augment="crop_flip")
    with pytest.raises(ConfigError) as error:
        make("glyphs", encoder=setting)
    assert [line.partition(":")[0] for line in str(error.value).splitlines()] == [
        "data.rotations=true",
        "data.test_rotations=true",
    ]
    assert make("glyphs", encoder=setting, rotations=False, test_rotations=False).input_shape == (1024,)


def test_features_can_be_normalised(make: Callable[..., Any], setting: str) -> None:
    settings = {"num_classes": 4, "num_scripts": 1, "images_per_class": 2, "num_tasks": 2, "test_examples": 1, "image_size": 8}
    own = {"encoder": setting, "normalize": "channels", "tasks_from": "characters", "shift": "none"}
    pool = make("split_glyphs", "online", **own, **settings).load([0])
    x = torch.cat([pool.gather(0, np.arange(4)).x, pool.test(0, None)[0].x, pool.test(1, None)[0].x])
    assert x.mean(0).abs().max() < 1e-3
    assert (x.std(0, correction=0) - 1).abs().median() < 1e-3


def test_images_of_ones_own_are_encoded(make: Callable[..., Any], weights: Path, setting: str) -> None:
    source, image = make("split_cifar10", encoder=setting).source, Image.new("RGB", (50, 50), (10, 200, 90))
    inputs = as_inputs([image, image], name="x", source=source, input_shape=(1024,), dtype=torch.float32)
    expected = by_hand(weights, np.stack([own_image(source, image)] * 2))
    assert np.allclose(inputs.numpy(), expected, rtol=1e-3, atol=1e-3)
    far = torch.full((1024,), 9.0)  # no feature is out of bounds
    assert as_inputs(far, name="x", source=source, input_shape=(1024,), dtype=torch.float32).tolist() == [far.tolist()]


def test_a_network_of_images_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        experiment_of(["algo=maml", "data=intents", "model=conv4_small"])
    assert str(error.value).startswith("model: Conv4 takes images, but the data's inputs have the shape [1024]. Use ")
    assert "model=text_head or model=linear for features of a frozen encoder" in str(error.value)


# ------------------------------------------------------------------------------------------------------- wrong settings


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (None, "encoder=torchvision: needs a network of torchvision, as in torchvision:resnet18"),
        ("resnet19", "has no such network that can be used here. Did you mean resnet1"),
        ("squeezenet1_1:a.pth", "has no such network that can be used here."),
        (
            "resnet18:nowhere.pth",
            "there is no file nowhere.pth; a state dict is expected there, as .pth or .safetensors; data.en",
        ),
    ],
)
def test_wrong_arguments(argument: str | None, message: str) -> None:
    with pytest.raises(SettingError) as error:
        TorchvisionEncoder.of(argument)
    assert message in str(error.value)


def test_another_encoder_is_refused_with_what_there_is(make: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"^data.encoder=torchvison: must be one of pixels, torchvision. Did you mean torchv"):
        make("split_glyphs", encoder="torchvison")


def test_without_a_network_one_message_says_what_was_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(SettingError) as error:
        TorchvisionEncoder.of("resnet18")
    file, url = "resnet18-f37072fd.pth", "https://download.pytorch.org/models"
    start, _, end = str(error.value).partition("no route to host")
    assert start == (
        f"encoder=torchvision:resnet18: its weights are not at {tmp_path}/checkpoints/{file}, and cannot be fetched from "
        f"{url}/{file} (OSError: "
    )
    assert end.endswith(
        "). A file that was fetched elsewhere works without a network, put there or named, as in torchvision:resnet18:FILE; "
        "data.encoder=pixels needs no network"
    )


def test_weights_of_the_hub_are_found_where_it_keeps_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: Path
) -> None:
    name = torchvision_module("models").get_model_weights(NETWORK).DEFAULT.url.rpartition("/")[2]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / name).write_bytes(weights.read_bytes())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    pixels = images(2, 3, 8)
    expected = TorchvisionEncoder.of(f"{NETWORK}:{weights}").encode(pixels)
    assert np.array_equal(TorchvisionEncoder.of(NETWORK).encode(pixels), expected)


def refused(file: Path) -> str:
    with pytest.raises(DataError) as error:
        TorchvisionEncoder.of(f"{NETWORK}:{file}").encode(images(1, 3, 8))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_files_that_are_not_the_weights(tmp_path: Path, weights: Path) -> None:
    file = tmp_path / "other.pth"
    file.write_bytes(b"none")
    assert refused(file).startswith(f"{file}: is no state dict that can be read (")
    file.write_bytes(weights.read_bytes()[:100_000])
    assert refused(file).startswith(f"{file}: is no state dict that can be read (")
    torch.save({"epoch": 3}, file)
    assert refused(file).startswith(f"{file}: the state dict of a network, tensors by name, was expected")
    state = torch.load(weights, weights_only=True)
    torch.save({key: value for key, value in state.items() if key != "features.0.0.weight"}, file)
    assert refused(file).startswith(f"{file} has no weights of {NETWORK}: it lacks features.0.0.weight; data.encoder=pixels")
    torch.save({**state, "a.b": torch.zeros(1), "a.c": torch.zeros(1)}, file)
    assert "it also has a.b and 1 more" in refused(file)
    torch.save({**state, "features.0.0.weight": torch.zeros(2, 2)}, file)
    assert "size mismatch for features.0.0.weight" in refused(file)


class Surprise:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code of a pickle was run",)


def test_code_of_a_pickle_is_never_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"a": Surprise()}, file := tmp_path / "other.pth")
    assert refused(file).startswith(f"{file}: is no state dict that can be read (")
    assert "code of a pickle" not in capsys.readouterr().out


# ----------------------------------------------------------------------------------------------- identity and the cache


def test_the_fingerprint_is_of_weights_and_network(tmp_path: Path, weights: Path, make: Callable[..., Any]) -> None:
    copy = tmp_path / weights.name
    copy.write_bytes(weights.read_bytes())
    first = TorchvisionEncoder.of(f"{NETWORK}:{weights}").fingerprint
    assert TorchvisionEncoder.of(f"{NETWORK}:{copy}").fingerprint == first
    assert TorchvisionEncoder.of(f"mobilenet_v3_large:{copy}").fingerprint != first
    assert make("rotated_digits", encoder=f"torchvision:{NETWORK}:{copy}").source.fingerprint == first
    assert make("rotated_digits").source.fingerprint == ""
    copy.write_bytes(b"other")
    assert TorchvisionEncoder.of(f"{NETWORK}:{copy}").fingerprint != first


def test_features_are_encoded_once(monkeypatch: pytest.MonkeyPatch, setting: str, cache: Path) -> None:
    monkeypatch.setattr(features, "QUICK_SECONDS", -1.0)
    monkeypatch.setattr(TorchvisionEncoder, "at_once", 2)
    encoder, pixels = encoder_of(setting), images(5, 1, 8)
    assert encoder is not None
    first = encoded(encoder, pixels)
    assert close(first[:2], encoder.encode(pixels[:2]))

    def twice(_: object, __: object) -> None:
        raise AssertionError("encoded twice")

    monkeypatch.setattr(TorchvisionEncoder, "encode", twice)
    assert np.array_equal(encoded(encoder, pixels.copy()), first)
    assert len(list((cache / "features").iterdir())) == 1
    for other in (pixels[::-1], pixels.reshape(5, 1, 4, 16), pixels + 1):
        with pytest.raises(AssertionError, match="encoded twice"):
            encoded(encoder, other)


KILLED = """
import os, signal, sys
import numpy as np
from metacl_run.data.encoders import features
from metacl_run.data.images.image_encoder import encoder_of
from metacl_run.data.images.image_features import encoded

features.QUICK_SECONDS = -1.0
encoder = encoder_of(sys.argv[1])
type(encoder).at_once = 1
encode, blocks = encoder.encode, []

def dying(raw):
    blocks.append(0)
    if len(blocks) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(raw)

encoder.encode = dying
encoded(encoder, np.zeros((5, 1, 8, 8), np.uint8))
"""


def test_a_process_that_is_killed_leaves_nothing_half_cached(setting: str, cache: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, setting], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [path.suffix for path in (cache / "features").iterdir()] == [".part"]
    encoder, pixels = encoder_of(setting), np.zeros((5, 1, 8, 8), np.uint8)
    assert encoder is not None
    assert np.allclose(encoded(encoder, pixels), encoder.encode(pixels[:1]), rtol=1e-3, atol=1e-3)
