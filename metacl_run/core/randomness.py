"""The only place that makes the random generators of a run. Every purpose has a generator of its own.

A generator is a function of (purpose, seed, position), whatever was drawn before. So a resumed run needs no generator state,
and a replicate draws the same numbers alone as beside others.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

LARGEST_SEED = 2**32 - 1
"""A seed is one 32-bit word of the generator's key, so that different keys never have the same words."""


class Purpose(IntEnum):
    """The purpose of random numbers. The comment says what is drawn, and after the semicolon at which position."""

    ASSIGN = 1
    """Which classes make up the tasks and splits; no position."""
    SHIFT = 2
    """A task's transformation; the task."""
    RATES = 3
    """Initial learned rates; no position."""
    TRAIN = 4
    """The episodes of a meta-update; its number."""
    EVALUATE = 5
    """Evaluation episodes; the task and the block of episodes."""
    SAMPLES = 6
    """Which examples of a source are a task's training and test samples, and their order; the task."""
    RESERVOIR = 7
    """Samples that a reservoir keeps, for the whole stream at once; no position."""
    REPLAY = 8
    """Orders of the batch and draws from the replay buffer for an observation; its number."""
    END_OF_TASK = 9
    """Samples that a learner consolidates on when a task is over; the task."""
    INSIGHT = 10
    """Samples that gradients and features are compared on; the task."""
    TRAJECTORIES = 11
    """The trajectories of a meta-update; its number."""
    SEQUENCE = 12
    """Classes and examples of a meta-test sequence, and new weights for it; the split (0 meta-train, 1 meta-test), order."""
    SHUFFLE = 13
    """Order of the same examples in joint training, the upper bound; the order, the number of classes."""
    FUNCTIONS = 14
    """Functions to regress on; no position."""
    VALIDATION = 15
    """Which examples of a stream are held out of learning; no position."""
    PREDICT = 16
    """Mini-batches and new weights of a learner that adapts outside a run; no position."""
    PLACEMENTS = 17
    """Where everything is when an episode of a skill begins; the skill, the part: 0 train, 1 held out, 2 test, 3 validation."""
    DISTURBANCES = 18
    """What disturbs the actions of a demonstration; the skill, the part."""
    PASSES = 19
    """The order of a task's samples in a pass after the first; the task, the pass."""
    DYNAMICS = 20
    """Dynamics of a family, and pushes under them; the family."""
    RECOVERY = 21
    """Episodes before and after a switch of dynamics; the task."""
    VISITS = 22
    """Which task a stream visits at every step; no position."""
    VISITED_TASK = 23
    """The task of a visit: its classes, or which dynamics; the visit."""
    STEP_EXAMPLES = 24
    """The examples of a step of a stream whose tasks recur; the step."""
    STEP_NOISE = 25
    """Random numbers that a learner uses at such a step; the step."""
    CONTROL = 26
    """How bodies begin that a controller moves, its candidate actions, mini-batches of its learner; the task, the part: 0, 1, 2
    in this order."""
    AUGMENT = 27
    """How the batch of an observation and the samples of its draws are altered; its number."""
    BLUR = 28
    """Which samples change their task, and when they come; no position."""
    EXEMPLARS = 29
    """Uniform numbers by which a learner chooses its exemplars at an observation; its number."""
    KEEP = 30
    """Validation episodes that decide which state is kept; the task and the block of episodes."""
    ACT = 31
    """Mini-batches of the episodes in which a learner acts; no position."""
    VALIDATION_VISITS = 32
    """As VISITS, of a stream of validation examples; no position."""
    VALIDATION_TASK = 33
    """As VISITED_TASK, of a stream of validation examples; the visit."""


def generator(purpose: Purpose, seed: int, *position: int) -> np.random.Generator:
    """Returns the generator of one purpose at one position. A purpose always has the same number of positions."""
    return np.random.default_rng([purpose, seed, *position])
