"""A source of one's own (2-dimensional points) is one Python file and one YAML file outside the package, for all protocols.

The one that the documentation shows: docs/examples/points.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metacl_run.config.compose import experiment_of
from metacl_run.experiment import run

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SETTINGS = {
    "maml": ["protocol.updates_per_task=40", "algo.inner_lr=1.0", "protocol.eval_every=0"],
    "er": ["algo.lr=0.5", "protocol.eval_split=validation"],
    "oml": ["algo.inner_lr=0.3", "protocol.updates=60", "protocol.schedule=[3]", "protocol.orders=3", "protocol.eval_every=0"],
}


@pytest.mark.parametrize("algo", SETTINGS)
def test_points_are_learned_under_every_protocol(algo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr("metacl_run.experiment.draw", lambda *_: None)
    common = ["data=points", "model=mlp_small", f"output_dir={tmp_path}", "progress=none", "gpu.threads=1", "seeds=[0,1]"]
    experiment = experiment_of([f"algo={algo}", *common, *SETTINGS[algo]], str(EXAMPLES / "options"))
    assert run(experiment) == 0
    matrix = np.load(experiment.directory / "accuracy_matrix.npy")
    assert matrix[:, -1].mean() > 0.6  # a guess: a half, an eighth, a third
    assert matrix[:, -1].mean() > matrix[:, 0].mean() + 0.1
