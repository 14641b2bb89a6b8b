"""Streams of classes as they are asked for on the command line, and real digits learned from one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metacl_run.cli import check
from metacl_run.config.compose import compose_job
from metacl_run.config.load import load
from metacl_run.core.errors import DataError, UserError
from metacl_run.models.base import Network


def mistake(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        check(list(overrides), None)
    return str(caught.value)


def test_a_stream_that_does_not_fit_the_algorithm_is_refused() -> None:
    for data in ("rotated_mnist", "split_mnist"):
        text = mistake("algo=maml", f"data={data}")
        assert f"data={data}: does not fit protocol=continual_meta, which needs a EpisodeStream; " in text
        fitting = "domains, glyphs, image_folder, omniglot, sinusoid, split_glyphs, split_image_folder, split_omniglot"
        assert f"Works with: {fitting}" in text
    check(["algo=er", "data=omniglot"], None)  # one task of all characters
    check(["algo=er", "data=domains"], None)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.num_tasks=6", "data.num_tasks=6: must be at most 5: there are 10 classes, and classes_per_task=2"),
        ("data.num_tasks=0", "data.num_tasks=0: must be at least 1, or null"),
        ("data.train_per_task=11264", "data.train_per_task=11264: must be null, or 2 (the classes of a task) to 11263 "),
        ("data.image_size=4", "data.image_size=4: must be at least 8"),
        ("data.scenario=classes", "data.scenario=classes: must be one of domain, class, task"),
    ],
)
def test_mistakes_are_one_message(override: str, message: str) -> None:
    assert message in mistake("algo=er", "data=split_mnist", "data.shuffled=true", override)


def test_too_many_test_examples_are_one_message() -> None:
    text = mistake("algo=er", "data=split_glyphs", "data.test_examples=20")
    assert "data.test_examples=20: must be less than the 20 images of class script 1 character 1" in text


def test_missing_files_are_one_message(tmp_path: Path) -> None:
    for data, name in (("split_cifar100", "CIFAR100"), ("split_tinyimagenet", "Tiny ImageNet"), ("split_mnist", "MNIST")):
        options = ["algo=er", f"data={data}", f"data.root={tmp_path / 'nowhere'}", "data.download=false"]
        built = load(*compose_job([*options, f"output_dir={tmp_path}", "progress=none"]))
        with pytest.raises(
            DataError, match=rf"(?s)^{name} was not found, and data.download is false. Looked for:.*split_glyphs"
        ):
            built.data.load([0])


@pytest.mark.parametrize(("scenario", "low", "high"), [("class", 0.0, 0.15), ("task", 0.8, 1.0)])
def test_digits_are_forgotten_unless_the_task_is_known(
    make: Callable[..., Any], real_data: str, scenario: str, low: float, high: float
) -> None:
    data = make("split_mnist", root=real_data, scenario=scenario, train_per_task=400, test_per_task=100)
    stream = data.load([0])
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
    network, params = Network(module, 10, masks=stream.masks), dict(module.named_parameters())
    optimizer, learned = torch.optim.SGD(module.parameters(), lr=0.05), []

    def accuracy(task: int) -> float:
        x, y, tasks = stream.test(task, None)[0]
        return (network(params, x, tasks).argmax(-1) == y).float().mean().item()

    for batch in np.arange(5 * 400).reshape(-1, 10):
        x, y, tasks = stream.gather(0, batch)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(params, x, tasks), y).backward()
        optimizer.step()
        if batch[-1] % 400 == 399:
            learned.append(accuracy(batch[-1] // 400))
    assert min(learned) > 0.8
    assert low <= np.mean([accuracy(task) for task in range(4)]) <= high


def test_real_digits_are_dealt_in_order(make: Callable[..., Any], real_data: str) -> None:
    data = make("split_mnist", root=real_data)
    assert data.count_samples() == 5842 + 5421  # fours and fives
    assert (
        make("split_mnist", shuffled=True, num_tasks=2, classes_per_task=5).count_samples() == 5421 + 5842 + 5851 + 5918 + 5923
    )
    stream = data.load([0])
    assert stream.task_names == [["0 + 1", "2 + 3", "4 + 5", "6 + 7", "8 + 9"]]
    sizes = [len(stream.test(task, None)[0].y) for task in range(5)]
    assert sizes == [980 + 1135, 1032 + 1010, 982 + 892, 958 + 1028, 974 + 1009]
    source = {}
    pixels, labels = data.read()
    for row in (0, 59999, 60000, 69999):
        source[pixels[row].tobytes()] = labels[row]
    found = {}
    for task in range(5):
        held = stream.test(task, None)[0]
        for image, label in zip((held.x * 255).round().byte().numpy(), held.y.tolist(), strict=True):
            if image.tobytes() in source:
                found[image.tobytes()] = label
    assert found == {pixels[row].tobytes(): labels[row] for row in (60000, 69999)}
