"""Real digits as a stream of classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metacl_run.models.network import Network


@pytest.mark.parametrize(("scenario", "low", "high"), [("class", 0.0, 0.15), ("task", 0.8, 1.0)])
def test_digits_are_forgotten_unless_the_task_is_known(
    make: Callable[..., Any], real_data: str, scenario: str, low: float, high: float
) -> None:
    pool = make("split_mnist", root=real_data, scenario=scenario, train_per_task=400, test_per_task=100).load([0])
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
    network, params = Network(module, 10, masks=pool.masks), dict(module.named_parameters())
    optimizer, after_learning = torch.optim.SGD(module.parameters(), lr=0.05), []

    def accuracy(task: int) -> float:
        x, y, tasks = pool.test(task, None)[0]
        return (network(params, x, tasks).argmax(-1) == y).float().mean().item()

    for batch in np.arange(5 * 400).reshape(-1, 10):
        x, y, tasks = pool.gather(0, batch)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(params, x, tasks), y).backward()
        optimizer.step()
        if batch[-1] % 400 == 399:
            after_learning.append(accuracy(batch[-1] // 400))
    assert min(after_learning) > 0.8
    assert low <= np.mean([accuracy(task) for task in range(4)]) <= high


def test_real_digits_are_taken_in_order(make: Callable[..., Any], real_data: str) -> None:
    stream = make("split_mnist", root=real_data)
    assert stream.count_samples() == 5842 + 5421  # fours and fives
    shuffled = make("split_mnist", shuffled=True, num_tasks=2, classes_per_task=5)
    assert shuffled.count_samples() == 5421 + 5842 + 5851 + 5918 + 5923
    pool = stream.load([0])
    assert pool.task_names == [["0 + 1", "2 + 3", "4 + 5", "6 + 7", "8 + 9"]]
    tests = [pool.test(task, None)[0] for task in range(5)]
    assert [len(samples.y) for samples in tests] == [980 + 1135, 1032 + 1010, 982 + 892, 958 + 1028, 974 + 1009]
    examples = stream.source.read_parts()
    label_of = {examples.x[row].tobytes(): int(examples.y[row]) for row in (0, 59999, 60000, 69999)}
    in_tests = {}
    for samples in tests:
        for image, label in zip((samples.x * 255).round().byte().numpy(), samples.y.tolist(), strict=True):
            if image.tobytes() in label_of:
                in_tests[image.tobytes()] = label
    assert in_tests == {examples.x[row].tobytes(): examples.y[row] for row in (60000, 69999)}
