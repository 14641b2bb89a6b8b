"""No two draws of a run share a stream of random numbers."""

from __future__ import annotations

from metacl_run.core.randomness import LARGEST_SEED, Purpose, generator

NONE = Purpose.ASSIGN, Purpose.RATES, Purpose.RESERVOIR, Purpose.FUNCTIONS, Purpose.VALIDATION
POSITIONS = dict.fromkeys(Purpose, 1) | dict.fromkeys(NONE, 0)
POSITIONS |= dict.fromkeys((Purpose.EVALUATE, Purpose.SEQUENCE, Purpose.SHUFFLE), 2)


def test_streams_differ_by_purpose_seed_and_position() -> None:
    first = {}
    for purpose in Purpose:
        for seed in (0, 1, 5, LARGEST_SEED):
            for at in range(3 if POSITIONS[purpose] else 1):
                position = (at, 0)[: POSITIONS[purpose]]
                value = generator(purpose, seed, *position).random()
                assert value not in first, (first.get(value), purpose, seed, position)
                first[value] = (purpose, seed, position)
    assert len(first) == 4 * (len(NONE) + (len(Purpose) - len(NONE)) * 3)


def test_a_stream_is_the_same_every_time() -> None:
    assert generator(Purpose.TRAIN, 3, 7).random() == generator(Purpose.TRAIN, 3, 7).random()
