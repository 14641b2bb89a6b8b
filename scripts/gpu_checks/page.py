"""Writes a Markdown page from the JSON files of the checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TITLES = {
    "floors": "Floors of this card",
    "learners": "Every algorithm to its end, at the size of `debug=true`",
    "engines": "A unit of training (sampling, upload, update), and the distance of a float64 update from the plain loop",
    "convolutions": "Convolutions whose weights differ by episode",
    "norms": "Batch norm, ReLU and pooling: one kernel, and torch operations",
    "perceptrons": "Small steps on a perceptron: one launch for all of an observation, and torch operations",
    "scale": "More episodes, more seeds",
}


def run(device: str, out: Path, quick: bool) -> None:
    parts = [f"# The path on {'CUDA' if device == 'cuda' else 'this processor (a dry run)'}, checked by scripts/gpu_check.sh\n"]
    for name, title in TITLES.items():
        path = out.with_name(f"{name}.json")
        if path.is_file():
            parts.append(f"## {title}\n\n{table(json.loads(path.read_text(encoding='utf-8')))}\n")
    out.write_text("\n".join(parts), encoding="utf-8")
    print(f"written {out}")


def table(items: dict[str, dict[str, Any]]) -> str:
    """One row an item, one column a key; lists and dicts stay in the JSON files."""
    plain = {name: {key: value for key, value in item.items() if not isinstance(value, dict)} for name, item in items.items()}
    keys = list(dict.fromkeys(key for item in plain.values() for key in item))
    lines = [f"| | {' | '.join(keys)} |", f"|---|{'---|' * len(keys)}"]
    lines += [f"| {name} | {' | '.join(_cell(item.get(key)) for key in keys)} |" for name, item in plain.items()]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else "; ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
