"""What a learner's own network takes of examples, what goes into its head, and names for predictions of a stream's learner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import metacl_run as mr
from tests.support.image_folders import SIDE, noise_images
from tests.support.small_runs import settings

QUIET = ["seeds=[0,1]", "progress=none", "figures.style=none", "gpu.threads=1"]
PICTURES = [
    *("algo=er", "data=split_image_folder", "data.normalize=channels", f"data.image_size={SIDE}", "data.channels=1"),
    *("data.num_tasks=2", "data.test_examples=2", "model=mlp_small", "algo.batch_size=2", "algo.memory=4", "algo.replay=2"),
]


def paths_of(root: Path) -> list[str]:
    return [str(path) for path in sorted(root.glob("*/*.png"))]


def pixels_of(paths: list[str]) -> torch.Tensor:
    """[N, 1, SIDE, SIDE] uint8."""
    return torch.from_numpy(np.stack([np.array(Image.open(path)) for path in paths])[:, None])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[mr.RunResult, list[str]]:
    """A class-incremental run on files of images, which are scaled, and their paths."""
    folder = tmp_path_factory.mktemp("pictures")
    noise_images(folder / "images", [6, 6, 6, 6])
    run = mr.run([*PICTURES, f"data.root={folder / 'images'}", *QUIET, f"output_dir={folder / 'runs'}"])
    return run, paths_of(folder / "images")


def test_the_network_takes_what_predict_makes_of_paths_arrays_and_tensors(pictures: tuple[mr.RunResult, list[str]]) -> None:
    run, paths = pictures
    pixels = pixels_of(paths)
    numbers = pixels.double() / 255  # scaled by hand, over all images
    by_hand = ((numbers - numbers.mean()) / numbers.std(correction=0)).float()
    learner = run.learner(1)
    for examples in (paths, pixels.numpy(), numbers.float()):
        inputs = learner.inputs(examples)
        torch.testing.assert_close(inputs, by_hand, rtol=1e-4, atol=1e-5)
        outputs = learner.outputs(examples)
        torch.testing.assert_close(learner.module()(inputs).detach(), outputs)
        torch.testing.assert_close(learner.module().head(learner.features(examples)).detach(), outputs)  # type: ignore[operator]
        assert learner.features(examples).dim() == 2
    raw = learner.module()(numbers.float()).detach()
    assert not torch.allclose(raw, outputs, atol=1e-2)  # what a reader of the recipe computed before
    assert learner.inputs(paths[0]).shape == (1, 1, SIDE, SIDE)


def test_inputs_have_the_precision_of_the_module(tmp_path: Path) -> None:
    noise_images(tmp_path / "images", [6, 6, 6, 6])
    run = mr.run([*PICTURES, f"data.root={tmp_path / 'images'}", *QUIET, "gpu.precision=float64", f"output_dir={tmp_path}"])
    learner, paths = run.learner(), paths_of(tmp_path / "images")
    assert learner.inputs(paths).dtype == torch.float64
    torch.testing.assert_close(learner.module()(learner.inputs(paths)).detach(), learner.outputs(paths))


def test_in_reduced_precision_features_and_the_head_are_what_predict_decides_by(tmp_path: Path) -> None:
    noise_images(tmp_path / "images", [6, 6, 6, 6])
    run = mr.run([*PICTURES, f"data.root={tmp_path / 'images'}", *QUIET, "gpu.precision=bf16", f"output_dir={tmp_path}"])
    learner, paths = run.learner(), paths_of(tmp_path / "images")
    torch.testing.assert_close(learner.module().head(learner.features(paths)).detach(), learner.outputs(paths))  # type: ignore[operator]


def test_features_of_an_adapted_learner_and_of_gated_and_headless_networks(
    finished_runs: dict[str, mr.RunResult], tmp_path: Path
) -> None:
    x = torch.rand(4, 1, 28, 28)
    adapted = finished_runs["meta_continual"].learner().adapt(x, list("abab"), rate=0.05)
    module = adapted.module()
    torch.testing.assert_close(module.head(adapted.features(x)).detach()[:, :2], adapted.outputs(x))  # type: ignore[operator]
    gated = mr.run([*settings("meta_continual", tmp_path), "algo=anml", "model=anml_small", "protocol.updates=1"]).learner()
    network = gated.module()
    expected = network.body(x) * network.gate(x)  # type: ignore[operator]
    torch.testing.assert_close(gated.features(x), expected.detach())
    prototypes = mr.run([*settings("continual_meta", tmp_path), "algo=protonet", "protocol.updates_per_task=1"]).learner()
    torch.testing.assert_close(prototypes.features(x), prototypes.module()(x).detach())
    own = [word for word in settings("meta_continual", tmp_path) if word not in ("algo=oml", "algo.redraw=false")]
    sequence = mr.run(["algo=cl_as_seq", "algo.width=8", "algo.heads=1", *own, "protocol.updates=1"])
    with pytest.raises(mr.UserError, match=r"^features: SequenceTransformer has no layer of the name 'head', whose inputs"):
        sequence.learner().features(x)


def test_a_policy_has_no_inputs_of_its_own_among_examples(tmp_path: Path) -> None:
    small = ["data.dynamics=[usual]", "protocol.updates_per_task=1", "protocol.eval_episodes=2", "protocol.eval_every=0"]
    run = mr.run(["algo=maml", "data=planar_reach_rl", *small, *QUIET, f"output_dir={tmp_path}"])
    learner = run.learner()
    x = torch.zeros(2, *learner.input_shape)
    for call in (learner.inputs, learner.features):
        with pytest.raises(
            mr.UserError, match=r"^inputs: an example of this run describes a situation, in which the network acts"
        ):
            call(x)


def test_a_stream_learner_gives_names_for_paths_and_numbers_for_tensors(pictures: tuple[mr.RunResult, list[str]]) -> None:
    run, paths = pictures
    for seed in run.seeds:
        learner = run.learner(seed)
        assert learner.classes is not None
        assert set(learner.classes) == {f"class{number}" for number in range(4)}
        places = learner.predict(pixels_of(paths))
        assert isinstance(places, torch.Tensor)
        assert places.tolist() == learner.outputs(paths).argmax(-1).tolist()
        expected = [learner.classes[place] for place in places.tolist()]
        for examples in (paths, [Path(path) for path in paths], [Image.open(path) for path in paths]):
            assert learner.predict(examples) == expected
        assert learner.predict(paths[0]) == expected[:1]
        assert learner.predict(pixels_of(paths), names=True) == expected
        for examples in (paths, pixels_of(paths)):
            assert torch.equal(learner.predict(examples, names=False), places)  # type: ignore[arg-type]
        assert learner.score(paths, expected) == learner.score(paths, places) == 1
    assert run.learner(0).classes != run.learner(1).classes  # a number alone says little


def test_names_of_labels_and_of_outputs_without_names(finished_runs: dict[str, mr.RunResult], tmp_path: Path) -> None:
    x = torch.rand(4, 1, 28, 28)
    adapted = finished_runs["continual_meta"].learner().adapt(x, list("abab"))
    assert adapted.predict(x) == adapted.predict(x, names=True)
    numbers = adapted.predict(x, names=False)
    assert isinstance(numbers, torch.Tensor)
    assert ["ab"[place] for place in numbers.tolist()] == adapted.predict(x)
    shared = mr.run(
        ["algo=er", "data=intents", "data.scenario=domain", "debug=true", *QUIET, f"output_dir={tmp_path}"]
    ).learner()
    assert shared.classes is None
    assert isinstance(shared.predict(["where is my order"]), torch.Tensor)
    with pytest.raises(mr.UserError, match=r"^names=True: the outputs of this run have no names"):
        shared.predict(["where is my order"], names=True)


def test_a_stream_learner_of_texts_gives_names(tmp_path: Path) -> None:
    learner = mr.run(["algo=er", "data=intents", "debug=true", *QUIET, f"output_dir={tmp_path}"]).learner()
    texts = ["where is my order", "please play some music"]
    assert learner.classes is not None
    places = learner.predict(learner.inputs(texts))
    assert isinstance(places, torch.Tensor)
    assert learner.predict(texts) == [learner.classes[place] for place in places.tolist()]
