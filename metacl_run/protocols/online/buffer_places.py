"""Where every sample of a stream goes in a replay buffer: one function for each way of entering it.

The seed and the labels decide it, before anything is learned. Places are taken in order: while some are free, the next sample
that gets a new one gets the next, so that the places in use are always the first ones.

Shapes: M places of the buffer, N samples of the whole stream.
"""

from __future__ import annotations

import bisect
from collections import Counter

import numpy as np

from metacl_run.core.randomness import Purpose, generator


def reservoir(capacity: int, total: int, seed: int) -> np.ndarray:
    """[N] the place that each sample goes to, M for nowhere: each is as likely to be kept (Vitter 1985, algorithm R)."""
    number = np.arange(total)
    place = (generator(Purpose.RESERVOIR, seed).random(total) * (number + 1)).astype(np.int64)
    return np.minimum(np.where(number < capacity, number, place), capacity)


def balanced(capacity: int, labels: np.ndarray, seed: int) -> np.ndarray:
    """[N] the place that each sample goes to, M for nowhere: a reservoir that is balanced over classes.

    Chrysakis and Moens 2020, algorithm 1. In a buffer without a free place a class is full once it has been the largest. A
    sample of a class that is not full takes the place of one of the largest, at random; in a full class each sample that came
    is as likely to be kept. With one class this is `reservoir`, number by number. Of several largest classes all count as full,
    and a place is drawn from all of theirs.

    Args:
        labels: [N] the class of every sample.
    """
    uniforms = generator(Purpose.RESERVOIR, seed).random(len(labels))
    places = np.full(len(labels), capacity)
    numbers: dict[int, int] = {}  # classes, in the order in which they first came
    members: list[list[int]] = []
    came: Counter[int] = Counter()
    full: set[int] = set()
    by_size: dict[int, list[int]] = {}  # once no place is free: the classes with so many, in order
    most = 0
    for number, label in enumerate(labels.tolist()):
        one = numbers.setdefault(label, len(numbers))
        if one == len(members):
            members.append([])
        own = members[one]
        came[one] += 1
        if number < capacity:
            places[number] = number
            own.append(number)
            continue
        if not by_size:
            for other, places_of in enumerate(members):
                by_size.setdefault(len(places_of), []).append(other)
            most = max(by_size)
        if one not in full and len(own) < most:
            which, place = divmod(int(uniforms[number] * most * len(by_size[most])), most)
            gives = by_size[most][which]
            full.add(gives)
            places[number] = members[gives].pop(place)
            own.append(places[number])
            _move(by_size, gives, most, most - 1)
            _move(by_size, one, len(own) - 1, len(own))
            most -= not by_size[most]
        elif (place := int(uniforms[number] * came[one])) < len(own):
            places[number] = own[place]
    return places


def _move(by_size: dict[int, list[int]], one: int, before: int, after: int) -> None:
    """Moves a class to the classes with another number of samples; they stay in order."""
    classes = by_size.get(before, [])
    place = bisect.bisect_left(classes, one)
    if classes[place : place + 1] == [one]:  # a class that has just come is not there
        del classes[place]
    bisect.insort(by_size.setdefault(after, []), one)


def ring(capacity: int, groups: np.ndarray) -> np.ndarray:
    """[N] the place that each sample goes to: every group has a ring of M // (number of groups) places, which its samples go
    through in turn (Chaudhry et al. 2019, arXiv 1902.10486: a FIFO buffer for each class).

    Args:
        groups: [N] the group of every sample; at most M groups.
    """
    number_of_groups = int(groups.max()) + 1
    length = capacity // number_of_groups
    assert length >= 1
    in_order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups, minlength=number_of_groups)
    turn = np.empty(len(groups), np.int64)  # how many of its group came before
    turn[in_order] = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    new = turn < length
    place = np.zeros((number_of_groups, length), np.int64)
    place[groups[new], turn[new]] = np.arange(new.sum())
    return np.asarray(place[groups, turn % length])
