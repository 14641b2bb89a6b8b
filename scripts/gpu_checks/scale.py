"""Times a unit with more episodes and with more seeds: what does a full card give?"""

from __future__ import annotations

from pathlib import Path

from gpu_checks.measuring import Results
from gpu_checks.units import timed_units


def run(device: str, out: Path, quick: bool) -> None:
    results = Results(out)
    units = 3 if quick else 12
    for episodes in (2, 4) if quick else (8, 32, 256, 2048):
        overrides = ["algo=maml", f"algo.meta_batch_size={episodes}"]
        results.attempt(f"maml, {episodes} episodes", lambda: timed_units(overrides, device, units))  # noqa: B023
    for seeds in (1, 2) if quick else (1, 8, 64, 256):
        numbers = ",".join(map(str, range(seeds)))
        for algo in ("er",) if quick else ("maml", "la_maml", "er"):
            overrides = [f"algo={algo}", f"seeds=[{numbers}]"]
            results.attempt(f"{algo}, {seeds} seeds", lambda: timed_units(overrides, device, units))  # noqa: B023
