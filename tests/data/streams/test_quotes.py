"""Texts are quoted as the learner received them, and outputs are named by the classes that they stand for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metacl_run.data.sources.source import Catalogue
from metacl_run.data.streams.shifted_samples import ShiftedSamples
from metacl_run.data.streams.validation import ValidationSamples
from metacl_run.data.text.text_encoder import encoder_of
from metacl_run.data.text.text_source import SplitTexts, SplitTextSource

SMALL = {"texts_per_intent": 12, "test_examples": 4}


@pytest.mark.parametrize("shift", ["none", "typos"])
@pytest.mark.parametrize("validation", [False, True])
def test_a_quote_becomes_the_example_that_was_learned_or_tested(make: Callable[..., Any], shift: str, validation: bool) -> None:
    stream = make("intents", "online", **SMALL, shift=shift)
    pool = (ValidationSamples(inner=stream) if validation else stream).load([3, 4])
    encode = encoder_of(stream.source.encoder).encode
    for replicate in range(2):
        index = np.array([0, 5, pool.samples_per_task, 2 * pool.samples_per_task + 1])
        assert np.allclose(encode(pool.quote(replicate, index)), pool.gather(replicate, index).x.numpy())
        for task, places in ((0, np.array([1, 0])), (2, np.array([3]))):
            tested = pool.test(task, None)[replicate].x[torch.from_numpy(places)]
            assert np.allclose(encode(pool.quote_test(replicate, task, places)), tested.numpy())
    assert pool.quote_test(0, 0, np.arange(0)) == []


def test_images_are_not_quoted(make: Callable[..., Any]) -> None:
    small = {"num_classes": 8, "num_scripts": 2, "num_tasks": 2, "images_per_class": 4, "test_examples": 2, "image_size": 8}
    pool = make("split_glyphs", protocol="online", **small).load([0])
    assert pool.quote(0, np.array([0])) is None
    assert pool.quote_test(0, 0, np.array([0])) is None
    assert (
        ValidationSamples(inner=make("split_glyphs", protocol="online", **small)).load([0]).quote_test(0, 0, np.zeros(1, int))
        is None
    )


@pytest.mark.parametrize("scenario", ["class", "task", "domain"])
def test_an_output_stands_for_the_class_whose_examples_have_that_label(make: Callable[..., Any], scenario: str) -> None:
    stream = make("intents", "online", **SMALL, scenario=scenario)
    pool = stream.load([0, 1])
    assert pool.classes.of_output.shape == (2, 5, stream.count_outputs())
    labelled = stream.source.read()
    intent = np.repeat(np.arange(30), labelled.catalogue.counts)
    of_text = {text: int(intent[row]) for row, text in enumerate(labelled.texts)}
    for replicate in range(2):
        for task in range(5):
            labels = pool.test(task, None)[replicate].y.numpy()
            texts = pool.quote_test(replicate, task, np.arange(len(labels)))
            named = pool.classes.of_output[replicate, task][labels]
            assert named.tolist() == [of_text[text] for text in texts]
    assert list(pool.classes.names) == labelled.catalogue.names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requests(SplitTextSource):
    """Two intents of four training texts and two test texts each, and texts that belong to neither."""

    def parts(self) -> tuple[Catalogue, Catalogue]:
        train, test = (Catalogue(names=["pay", "go"], counts=np.full(2, count), groups=["pay", "go"]) for count in (4, 2))
        return train, test

    def read_split_texts(self) -> SplitTexts:
        texts = [f"{word} {number}" for count in (4, 2) for word in ("pay the bill", "go to town") for number in range(count)]
        y = np.repeat([0, 1, 0, 1], [4, 4, 2, 2])
        return SplitTexts(texts=texts, y=y, num_train=8, out_of_scope=["who are you", "sing"])


def test_out_of_scope_examples_stay_as_they_are_and_are_test_data() -> None:
    source = Requests(encoder="hashed")
    stream = ShiftedSamples(source=source, num_tasks=2, train_per_task=4, test_per_task=None, shift="typos")
    expected = encoder_of("hashed").encode(["who are you", "sing"])
    pool = stream.load([0])
    assert pool.out_of_scope is not None
    assert np.allclose(pool.out_of_scope.numpy(), expected)
    assert ValidationSamples(inner=stream).load([0]).out_of_scope is None
    (note,) = source.read().notes  # of a protocol that deals classes out, whatever part they come from
    assert note.startswith("2 out-of-scope examples are not used")
