"""Overrides of complete runs that take about a second, for every protocol."""

from __future__ import annotations

from typing import Any

from metacl_run.config.options import options_that_are

PLAIN_SGD: dict[str, Any] = {
    **{"optimizer": "sgd", "momentum": 0.0, "clip_norm": None, "weight_decay": 0.0},
    **{"lr_schedule": "constant", "lr_drops": [0.7, 0.9], "lr_drop_factor": 0.2},
}
"""The settings by which a learner of `online` takes plain steps, where it is built without a config."""

TINY = [
    "data.num_classes=40",
    "data.num_scripts=2",
    "data.num_tasks=2",
    "data.ways=3",
    "model.channels=4",
    "algo.meta_batch_size=3",
    "protocol.updates_per_task=4",
    "protocol.eval_episodes=4",
    "protocol.eval_every=2",
    "protocol.log_every=2",
    "gpu.threads=1",
    "figures.style=none",
]
"""Overrides of a complete run that takes about a second and draws nothing."""

SMALL_STREAM = [
    "data.num_tasks=3",
    "data.train_per_task=40",
    "data.test_per_task=60",
    "data.train_hands=8",
    "data.test_hands=8",
    "data.image_size=8",
    "model.hidden=[12]",
    "protocol.log_every=2",
    "gpu.threads=1",
]


def stream_learners() -> list[str]:
    from metacl_run.algorithms.online.stream_learner import StreamLearner

    return options_that_are("algo", StreamLearner)


WITH_KNOWN_TASKS = ["packnet"]
"""Those that learn no stream whose tasks are not known at evaluation."""
STREAM_LEARNERS = [name for name in stream_learners() if name not in WITH_KNOWN_TASKS]

SMALL_SKILLS = [
    "data=planar_skills",
    "data.skills=[reach,push,open_drawer]",
    *("data.demonstrations=2", "data.horizon=20", "data.test_episodes=3"),
    *("model.hidden=[12]", "protocol.epochs=2", "protocol.log_every=2", "algo.batch_size=10", "gpu.threads=1"),
]
"""Overrides of a run of skills: three tasks of eight observations, in two passes."""


SMALL_SEQUENCES = [
    "data.num_classes=30",
    "data.num_scripts=2",
    "data.images_per_class=6",
    "data.test_examples=2",
    "protocol.updates=4",
    "protocol.schedule=[2,5]",
    "protocol.orders=3",
    "protocol.selection_orders=2",
    "protocol.rates=[0.1,0.01]",
    "protocol.eval_every=2",
    "protocol.log_every=2",
    "gpu.threads=1",
]


OF_STREAM_LEARNER = {
    "a_gem": ["algo.memories_per_task=20", "algo.replay=10"],
    "icarl": ["algo.herding_samples=20"],
    "anml_er": ["model.hidden=12", "model.gate_hidden=4"],
}
"""What a learner of a small stream needs beside `SMALL_STREAM`."""


SMALL_READER = [
    *("model.channels=4", "algo.classes=4", "algo.class_steps=3", "algo.query_examples=2"),
    *("algo.width=8", "algo.heads=2", "algo.hidden=8"),
]
SEQUENCE_LEARNERS = {
    "oml": ["model.channels=4", "algo.class_steps=3", "algo.query_examples=2"],
    "maml_rep": ["model.channels=4", "algo.class_steps=3", "algo.query_examples=2"],
    "oml_reptile": ["model.channels=4", "algo.class_steps=3", "algo.query_examples=2"],
    "anml": ["model.channels=4", "model.gate_channels=2", "algo.class_steps=5", "algo.remember=6"],
    "pretrain": ["model.channels=4"],
    "scratch": ["model.channels=4"],
    "gemcl": ["model.channels=4", "algo.classes=4", "algo.class_steps=3", "algo.query_examples=2"],
    "protonet_cl": ["model.channels=4", "algo.classes=4", "algo.class_steps=3", "algo.query_examples=2"],
    "ncm_cl": ["model.channels=4", "algo.classes=4", "algo.class_steps=3", "algo.query_examples=2"],
    "cl_as_seq": [*SMALL_READER, "algo.context=15"],  # of 20 examples
    "cl_as_seq_linear": SMALL_READER,
}
FUNCTION_LEARNERS = ("alpaca", "sb_mcl")
"""Learners of sequences that learn functions alone."""


FUNCTIONS = [
    "data=incremental_sine",
    *("data.meta_train_functions=12", "data.meta_test_functions=8", "data.together=4", "data.learn_examples=8"),
    *("data.test_examples=5", "model=mlp_incremental_sine", "model.hidden=[6,6]", "gpu.precision=float64"),
    *("algo.classes=3", "algo.class_steps=2", "algo.step_examples=4", "algo.query_examples=2"),
    *("protocol.updates=3", "protocol.schedule=[2,4]", "protocol.orders=2", "protocol.eval_every=2", "gpu.threads=1"),
]
