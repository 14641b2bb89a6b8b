"""The environment of a run: versions, device, commit; all that its numbers depend on besides the config."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import torch

from metacl_run.core.version import __version__

PACKAGES = ("torch", "torchvision", "numpy", "hydra-core", "omegaconf")


def describe(device: torch.device) -> dict[str, Any]:
    """Returns versions, the device, and the git commit of a checkout (None when installed from a wheel)."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "metacl_run": __version__,
        "python": platform.python_version(),
        **versions,
        "platform": platform.platform(),
        "device": f"{device.type}: {name}",
        "threads": torch.get_num_threads(),
        "git_commit": _commit(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def _commit() -> str | None:
    """Returns the commit of the checkout that this package is in, with "+" behind it when files differ from it.

    Asked once: a process runs the code that it began with, whatever the checkout has later."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        git = ["git", "-C", str(root)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")
