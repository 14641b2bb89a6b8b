"""The learner of a run: the same numbers as in the run, and as torch.optim gives on its module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch.nn.functional import cross_entropy
from torch.utils._pytree import tree_map

import metacl_run as mr
from metacl_run.core.randomness import Purpose
from metacl_run.data.images.own_images import own_image
from metacl_run.data.sources.cifar import Cifar
from metacl_run.data.sources.omniglot import Omniglot
from metacl_run.data.text.text_encoder import encoder_of
from metacl_run.protocols.continual_meta.episodes import EpisodeSampler
from metacl_run.protocols.online.setup import StreamSetup
from metacl_run.trained_run import evaluation_of
from tests.support.runs import context_of
from tests.support.settings import SMALL_SKILLS
from tests.support.small_runs import settings


def test_a_few_shot_learner_predicts_as_in_the_run(finished_runs: dict[str, mr.RunResult]) -> None:
    run = finished_runs["continual_meta"]
    context = context_of(evaluation_of(run.directory))
    sampler = EpisodeSampler(
        algo=context.algo,
        data=context.data,
        pool=context.pool,
        seeds=run.seeds,
        eval_split="test",
        purpose=Purpose.EVALUATE,
        dtype=torch.float32,
    )
    for replicate, seed in enumerate(run.seeds):
        episodes = sampler.evaluation(task=1, block=0, count=4)
        accuracies = []
        for episode in range(4):
            support_x, support_y, query_x, query_y, _ = (leaf[replicate, episode] for leaf in episodes)
            predicted = run.learner(seed).adapt(support_x, support_y).predict(query_x)
            accuracies.append(np.mean(np.array(predicted) == query_y.numpy()))
        assert np.mean(accuracies) == pytest.approx(run.matrix[replicate, -1, 1])


def test_a_stream_learner_predicts_as_in_the_run(finished_runs: dict[str, mr.RunResult]) -> None:
    run = finished_runs["online"]
    context = context_of(evaluation_of(run.directory))
    for replicate, seed in enumerate(run.seeds):
        samples = context.pool.test(2, None)[replicate]
        predicted = run.learner(seed).predict(samples.x)
        assert float((predicted == samples.y).float().mean()) == pytest.approx(run.matrix[replicate, -1, 2])


def test_a_learner_with_weights_for_every_task_is_told_which(tmp_path: Path) -> None:
    quiet = ["seeds=[0,1]", "progress=none", "figures.style=none", f"output_dir={tmp_path}"]
    run = mr.run(["algo=packnet", *SMALL_SKILLS, "algo.retrain_samples=20", *quiet])
    setup = StreamSetup.of(context_of(evaluation_of(run.directory)), 1)
    states = torch.load(run.directory / "checkpoint.pt", weights_only=True)["content"]["learner"]
    state, learner = tree_map(lambda leaf: leaf[1], states), run.learner(1)
    for task in range(3):
        x = setup.random_samples(1, task, 9, Purpose.END_OF_TASK).x
        expected = setup.algo.predict(setup.network, state, x, torch.full((len(x),), task))
        torch.testing.assert_close(learner.outputs(x, task=task), expected)
    with pytest.raises(mr.UserError, match="task=None: PackNet has weights of its own for every task"):
        learner.outputs(x)
    with pytest.raises(mr.UserError, match="task=3: must be from 0 to 2; the run has 3 tasks"):
        learner.outputs(x, task=3)


def test_maml_adapts_as_sgd_on_its_module(finished_runs: dict[str, mr.RunResult]) -> None:
    learner = finished_runs["continual_meta"].learner(4, ["algo.eval_inner_steps=4", "algo.inner_lr=0.2"])
    x, y = torch.rand(6, 1, 28, 28), torch.tensor([0, 0, 1, 1, 2, 2])
    module = learner.module()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.2)
    for _ in range(4):
        optimizer.zero_grad()
        cross_entropy(module(x), y).backward()
        optimizer.step()
    adapted = learner.adapt(x, y)
    torch.testing.assert_close(adapted.module().state_dict(), module.state_dict(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(adapted.outputs(x, together=True), module(x).detach(), rtol=1e-4, atol=1e-4)
    assert adapted.predict(x, together=True) == module(x).argmax(1).tolist()


def test_oml_learns_a_sequence_as_sgd_on_the_last_layer(finished_runs: dict[str, mr.RunResult]) -> None:
    learner = finished_runs["meta_continual"].learner(0)
    x = torch.rand(4, 1, 28, 28)
    names = ["b", "a", "b", "c"]
    module = learner.module()
    optimizer = torch.optim.SGD(module.head.parameters(), lr=0.05)  # type: ignore[union-attr]
    for image, place in zip(x, [0, 1, 0, 2], strict=True):
        optimizer.zero_grad()
        cross_entropy(module(image[None]), torch.tensor([place])).backward()
        optimizer.step()
    first = learner.adapt(x[:2], names[:2], rate=0.05)
    both = first.adapt(x[2:], names[2:], rate=0.05)
    assert both.labels == ("b", "a", "c")
    torch.testing.assert_close(both.outputs(x), module(x).detach()[:, :3], rtol=1e-4, atol=1e-5)
    assert first.labels == ("b", "a")  # nothing is changed in place


def test_the_module_after_a_sequence_by_adam_has_the_weights_that_it_learned(tmp_path: Path) -> None:
    run = mr.run([*settings("meta_continual", tmp_path), "algo.test_head=adam", "protocol.updates=1", "seeds=[0]"])
    x = torch.rand(3, 1, 28, 28)
    adapted = run.learner().adapt(x, ["a", "b", "a"], rate=0.01)
    outputs = adapted.outputs(x)
    torch.testing.assert_close(adapted.module()(x).detach()[:, :2], outputs, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(run.learner().module()(x).detach()[:, :2], outputs, atol=1e-3)


def test_a_sequence_is_learned_at_the_rate_that_the_run_chose(finished_runs: dict[str, mr.RunResult]) -> None:
    run = finished_runs["meta_continual"]
    x, y = torch.rand(2, 1, 28, 28), ["a", "b"]
    for replicate, seed in enumerate(run.seeds):
        chosen = run.summary["meta_test"]["rate_of_matrix"][replicate]
        learner = run.learner(seed)
        assert torch.equal(learner.adapt(x, y).outputs(x), learner.adapt(x, y, rate=chosen).outputs(x))


def test_the_score_is_the_share_of_right_labels(finished_runs: dict[str, mr.RunResult]) -> None:
    learner = finished_runs["continual_meta"].learner()
    x = torch.rand(6, 1, 28, 28)
    adapted = learner.adapt(x, list("aabbcc"))
    labels = list("abcabz")  # nothing was learned of a z
    predictions = adapted.predict(x)
    assert isinstance(predictions, list)
    assert adapted.score(x, labels) == sum(predictions[place] == labels[place] for place in range(6)) / 6
    assert adapted.score(x, predictions) == 1
    online = finished_runs["online"].learner()
    samples = torch.rand(5, *online.input_shape)
    places = online.predict(samples)
    assert isinstance(places, torch.Tensor)
    assert online.score(samples, places) == 1
    assert online.score(samples, (places + 1).numpy()) == 0


def test_outputs_of_a_stream_have_the_names_of_classes_that_the_seed_gave_them(tmp_path: Path) -> None:
    small = ["data.num_tasks=2", "data.num_classes=12", "data.num_scripts=3", "data.images_per_class=10", "data.scenario=class"]
    quiet = ["seeds=[0,1]", f"output_dir={tmp_path}", "progress=none", "figures.style=none", "gpu.threads=1"]
    run = mr.run(["algo=er", "data=split_glyphs", "data.tasks_from=characters", *small, *quiet])
    context = context_of(evaluation_of(run.directory))
    names = context.pool.classes.names
    assert run.learner(0).classes != run.learner(1).classes
    for replicate, seed in enumerate(run.seeds):
        learner, right, count = run.learner(seed), 0.0, 0
        assert learner.classes is not None
        for task in range(2):
            samples = context.pool.test(task, None)[replicate]
            own = [names[context.pool.classes.of_output[replicate, task, place]] for place in samples.y.tolist()]
            score = learner.score(samples.x, own)
            assert score == learner.score(samples.x, samples.y)  # by name and by output
            right, count = right + score * len(own), count + len(own)
        assert right / count == pytest.approx(run.metrics["accuracy"].values[replicate])
    with pytest.raises(mr.UserError, match=r"^y: the learner knows none of its labels, such as cat; it knows "):
        learner.score(samples.x[:2], ["cat", "dog"])


def test_the_score_of_a_regression_is_its_mean_squared_error(tmp_path: Path) -> None:
    small = ["protocol.updates_per_task=2", "protocol.eval_episodes=4", "seeds=[0]", "gpu.threads=1"]
    run = mr.run(["algo=maml", "data=sinusoid", *small, f"output_dir={tmp_path}", "progress=none", "figures.style=none"])
    x, y = np.random.default_rng(0).uniform(-5, 5, (2, 7, 1))
    adapted = run.learner().adapt(x[:4], y[:4])
    outputs = adapted.predict(x)
    assert isinstance(outputs, torch.Tensor)
    assert adapted.score(x, y) == pytest.approx(np.mean((outputs.numpy() - y) ** 2), rel=1e-5)
    with pytest.raises(mr.UserError, match=r"^y: has the shape \[6, 1\]; 7 targets are \[7, 1\]$"):
        adapted.score(x, y[:6])


def test_prototypes_tell_any_number_of_classes_apart(tmp_path: Path) -> None:
    run = mr.run([*settings("continual_meta", tmp_path), "algo=protonet", "protocol.updates_per_task=1"])
    x = torch.eye(28).reshape(28, 1, 1, 28).repeat(1, 1, 28, 1)[:5]
    adapted = run.learner().adapt(x, ["e", "d", "c", "b", "a"])
    assert adapted.predict(x) == ["e", "d", "c", "b", "a"]
    assert adapted.probabilities(x).sum(1).allclose(torch.ones(5))


def test_images_arrays_and_numbers_mean_the_same(finished_runs: dict[str, mr.RunResult], tmp_path: Path) -> None:
    learner = finished_runs["continual_meta"].learner()
    pixels = np.random.default_rng(0).integers(0, 120, (6, 28, 28), dtype=np.uint8)  # on a dark ground
    images = [Image.fromarray(image) for image in pixels]
    images[0].save(tmp_path / "one.png")
    from_images = learner.adapt(images, list("aabbcc"))
    from_floats = learner.adapt(torch.from_numpy(pixels)[:, None] / 255, list("aabbcc"))
    assert torch.equal(from_images.outputs(pixels[:, None]), from_floats.outputs(images))
    assert torch.equal(from_images.outputs(images[0]), from_images.outputs(tmp_path / "one.png"))
    assert torch.equal(from_images.outputs(images[0]), from_images.outputs(pixels[:1]))


def test_a_drawing_on_paper_is_inverted_and_one_on_black_is_not() -> None:
    drawing = Image.new("L", (105, 105), 255)
    drawing.paste(0, (40, 40, 60, 60))
    omniglot = Omniglot(root="", download=False, image_size=28, encoder="pixels")
    image = own_image(omniglot, drawing)
    assert image.shape == (1, 28, 28)
    assert image[0, 0, 0] == 0
    assert image[0, 13, 13] > 250
    assert np.array_equal(own_image(omniglot, ImageOps.invert(drawing)), image)
    photograph = own_image(Cifar(root="", download=False, image_size=28, encoder="pixels", classes=10), drawing.convert("RGB"))
    assert photograph[0, 0, 0] == 255


@pytest.mark.parametrize(
    ("kind", "call", "message"),
    [
        ("continual_meta", lambda learner: learner.predict(torch.rand(2, 1, 28, 28)), "adapt(x, y) first"),
        (
            "continual_meta",
            lambda learner: learner.adapt(torch.rand(2, 3, 32, 32), [0, 1]),
            "[2, 3, 32, 32]; this",
        ),
        ("continual_meta", lambda learner: learner.adapt(torch.rand(2, 3, 32, 32), [0, 1]), "[N, 1, 28, 28]"),
        ("continual_meta", lambda learner: learner.adapt(torch.rand(4, 1, 28, 28), "abcd"), "has 4 classes"),
        ("continual_meta", lambda learner: learner.adapt(torch.rand(4, 1, 28, 28), "ab"), "has 2 labels for 4 examples"),
        ("continual_meta", lambda learner: learner.adapt("missing.png", "a"), "missing.png"),
        ("continual_meta", lambda learner: learner.adapt(object(), "a"), "is a object, not a tensor, array or image"),
        ("continual_meta", lambda learner: learner.adapt(torch.full((2, 1, 28, 28), torch.nan), "ab"), "holds NaN or infinity"),
        (
            "continual_meta",
            lambda learner: learner.adapt(255 * torch.ones(2, 1, 28, 28), "ab"),
            "from 255 to 255",
        ),
        ("online", lambda learner: learner.adapt(torch.rand(1, 1, 8, 8), [0]), "does not adapt"),
        ("online", lambda learner: learner.score(torch.rand(3, 1, 8, 8), [0, 1]), "y: has 2 labels for 3 examples"),
        (
            "online",
            lambda learner: learner.score(torch.rand(3, 1, 8, 8), 1),
            "y: must be a list of 3 labels, one for each",
        ),
        (
            "continual_meta",
            lambda learner: learner.adapt(torch.rand(2, 1, 28, 28), torch.eye(2)),
            "support_y: a label must be a number or a name, not [1.0, 0.0]; of one-hot labels take argmax",
        ),
        ("online", lambda learner: learner.predict(torch.rand(1, 1, 8, 8), task=0), "share all outputs"),
        ("meta_continual", lambda learner: learner.predict(torch.rand(1, 1, 28, 28)), "adapt(x, y) first"),
    ],
)
def test_mistakes(kind: str, call: object, message: str, finished_runs: dict[str, mr.RunResult]) -> None:
    with pytest.raises(mr.UserError) as error:
        call(finished_runs[kind].learner())  # type: ignore[operator]
    assert message in str(error.value)


def test_a_seed_that_the_run_lacks(finished_runs: dict[str, mr.RunResult]) -> None:
    with pytest.raises(mr.UserError, match="seed=3: the run has 0, 4"):
        finished_runs["online"].learner(3)


def test_task_incremental_predictions_stay_within_the_task(tmp_path: Path) -> None:
    overrides = ["algo=er", "data=split_glyphs", "data.scenario=task", "data.num_tasks=2", "data.num_classes=20"]
    run = mr.run([*overrides, "data.num_scripts=2", "model=mlp_small", f"output_dir={tmp_path}", "progress=none"])
    learner = run.learner()
    x = torch.rand(20, *learner.input_shape)
    first, second = (set(learner.predict(x, task=task).tolist()) for task in (0, 1))  # type: ignore[union-attr]
    assert first <= set(range(10))
    assert second <= set(range(10, 20))
    mixed = learner.outputs(x, task=[0] + [1] * (len(x) - 1))
    torch.testing.assert_close(mixed, torch.cat([learner.outputs(x, task=0)[:1], learner.outputs(x, task=1)[1:]]))
    with pytest.raises(mr.UserError, match="task=-1: must be from 0 to 1"):
        learner.predict(x, task=-1)
    with pytest.raises(mr.UserError, match=rf"task: must be a number, or one for each of the {len(x)} examples, not \[1\]"):
        learner.predict(x, task=[0])
    with pytest.raises(mr.UserError, match="task=2: must be from 0 to 1"):
        learner.predict(x, task=2)


def test_a_learner_of_texts_takes_texts(tmp_path: Path) -> None:
    run = mr.run(["algo=er", "data=intents", "debug=true", f"output_dir={tmp_path}", "progress=none", "figures.style=none"])
    learner = run.learner()
    texts = ["where is my order", "please play some music"]
    features = encoder_of("hashed").encode(texts)
    assert torch.equal(learner.outputs(texts), learner.outputs(features))
    assert torch.equal(learner.outputs(texts[0]), learner.outputs(features[:1]))
    with pytest.raises(mr.UserError, match="holds images, but Intents has none; give texts, a tensor or an array"):
        learner.predict([Image.new("L", (28, 28))])
