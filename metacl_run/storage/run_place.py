"""Where a run lies: <output_dir>/<data>/<algo>/<run id>, and an evaluation of it in <run>/evaluations/<run id>."""

from __future__ import annotations

from pathlib import Path

from metacl_run.storage.run_files import EVALUATIONS


def run_name(directory: Path) -> str:
    """data/algo/run id, which names the directory within its output_dir; not of an evaluation."""
    return "/".join(directory.absolute().parts[-3:])


def output_dir_of(directory: Path) -> Path:
    """The folder of all runs: of this one, or of the one that this evaluates; the highest folder for one elsewhere."""
    directory = directory.absolute()
    if directory.parent.name == EVALUATIONS:
        directory = directory.parents[1]
    return [directory, *directory.parents[:3]][-1]
