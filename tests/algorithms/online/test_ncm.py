"""The nearest class mean against means and distances that are written out."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from metacl_run.algorithms.online.ncm import NearestClassMean
from metacl_run.core.errors import ConfigError
from metacl_run.models.network import Network
from metacl_run.scoring.objectives import REGRESSION
from tests.algorithms.online.slow_loops import BATCH, OUTPUTS, TASKS, TwoLayers, toy


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("masked", [False, True])
def test_after_any_part_of_a_stream_it_predicts_the_nearest_mean_of_the_classes_so_far(
    distance: Literal["euclidean", "cosine"], masked: bool
) -> None:
    algorithm, data = NearestClassMean(batch_size=BATCH, distance=distance), toy(growing=not masked, masked=masked)
    network, state = data.network, algorithm.init(data.network, data.params, TASKS)
    stream = data.stream
    features = (stream.x @ data.params["body.weight"].T + data.params["body.bias"]).relu()
    for unit, observed in enumerate(data.observations(algorithm)):
        state, metrics = algorithm.observe(network, state, observed)
        seen = slice(0, (unit + 1) * BATCH)
        known = stream.y[seen].unique()
        means = torch.stack([features[seen][stream.y[seen] == label].mean(0) for label in known])
        if distance == "cosine":
            near = torch.nn.functional.cosine_similarity(features[seen].unsqueeze(1), means, dim=-1)
        else:
            near = -torch.cdist(features[seen], means)
        if masked:
            near[known // 2 != stream.task[seen].unsqueeze(1)] = -torch.inf
        predicted = network(state["params"], stream.x[seen], stream.task[seen]).argmax(1)
        assert predicted.equal(known[near.argmax(1)])
        assert metrics["loss"].isfinite()


def test_it_refuses_what_has_no_classes_and_a_head_that_is_not_linear() -> None:
    algorithm, data = NearestClassMean(batch_size=BATCH, distance="cosine"), toy()
    with pytest.raises(ConfigError, match="real targets"):
        algorithm.init(Network(TwoLayers().double(), OUTPUTS, objective=REGRESSION), data.params, TASKS)
