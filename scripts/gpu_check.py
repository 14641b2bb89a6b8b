"""The checks of scripts/gpu_check.sh, one a call: python scripts/gpu_check.py CHECK --device cuda --out FILE [--quick]."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

CHECKS = ("floors", "learners", "engines", "convolutions", "norms", "perceptrons", "scale", "page")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, required=True, help="a JSON file; of page, Markdown from the JSON files beside it")
    parser.add_argument("--quick", action="store_true", help="smallest sizes, to see that the check works")
    arguments = parser.parse_args()
    module = importlib.import_module(f"gpu_checks.{arguments.check}")
    module.run(arguments.device, arguments.out, arguments.quick)


if __name__ == "__main__":
    main()
