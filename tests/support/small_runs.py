"""The settings of small runs of two seeds, one for every kind of protocol."""

from __future__ import annotations

from pathlib import Path

from tests.support.settings import SMALL_STREAM, TINY

SEQUENCES = [
    "algo=oml",
    "algo.redraw=false",
    "data.num_classes=40",
    "data.num_scripts=2",
    "data.meta_test_classes=12",
    "model.channels=4",
    "algo.meta_batch_size=2",
    "protocol.updates=3",
    "protocol.schedule=[3,6]",
    "protocol.orders=2",
    "protocol.selection_orders=2",
    "protocol.rates=[0.03,0.1]",
    "gpu.threads=1",
]
RECURRING = [
    "algo=continual_maml",
    "data.num_classes=30",
    "data.image_size=20",
    "data.ways=3",
    "data.shots=2",
    "data.queries=2",
    "data.stay=0.8",
    "model.channels=4",
    "model.norm=image",
    "algo.pretrain_updates=3",
    "algo.meta_batch_size=2",
    "algo.switch_margin=0.05",
    "protocol.steps=20",
    "protocol.log_every=5",
    "gpu.threads=1",
]
RECURRING_DYNAMICS = [
    *("data=planar_dynamics", "data.families=[motors,turn]", "data.dynamics_per_family=4", "data.rollouts=3", "data.steps=12"),
    *("data.shots=4", "data.queries=4", "data.recurring=2", "data.stay=0.8", "model.hidden=[6]"),
    *("algo.pretrain_updates=3", "algo.meta_batch_size=2", "protocol.steps=20", "protocol.log_every=5", "gpu.threads=1"),
]
"""Of `mole`, which is for dynamics."""
KINDS = {
    "continual_meta": [*TINY, "protocol.eval_every=0"],
    "online": ["algo=er", *SMALL_STREAM],
    "meta_continual": SEQUENCES,
    "osaka": RECURRING,
}
"""The settings of a run by the kind of its protocol."""


def settings(kind: str, folder: Path) -> list[str]:
    return [*KINDS[kind], "seeds=[0,4]", "progress=none", "figures.style=none", f"output_dir={folder}"]
