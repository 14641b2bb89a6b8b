"""The packages of the extra `robot`: whether they are there, and whether their versions work together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from metacl_run.core.errors import DataError

INSTALL: Final = "pip install 'metacl-run[robot]'"
METAWORLD: Final = {"metaworld": "3.1.1", "gymnasium": None, "mujoco": "3.3.0", "packaging": None}
"""What the tasks of Meta-World need, with the only version that works; None: any. metaworld 3.1.1 fails with mujoco 4.0.0 in
every task tried, by an error of shapes far inside. Gymnasium's environments in MuJoCo import packaging without requiring it."""
GYMNASIUM: Final = {"gymnasium": None, "mujoco": None, "packaging": None}
"""What the environments of Gymnasium need; HalfCheetah-v5 was seen to work with mujoco 3.3.0 and 4.0.0."""


def check_packages(user: str, needs: Mapping[str, str | None], instead: str) -> None:
    """Refuses packages that are not installed, or that have another version than the one that works.

    Args:
        user: the option that needs them, as on the command line.
        needs: packages and the versions that they must have; None: any.
        instead: an option that works without them.

    Raises:
        DataError: all that is wrong in one message, with the command that helps.
    """
    versions = installed(needs)
    missing = [package for package in needs if versions[package] is None]
    problems = [f"{', '.join(missing)} not installed"] if missing else []
    problems += [
        f"{package} {versions[package]} is installed, and only {pin} works"
        for package, pin in needs.items()
        if pin is not None and versions[package] not in (None, pin)
    ]
    if problems:
        raise DataError(f"{user}: {'; '.join(problems)}. {INSTALL} brings versions that work. Without them: {instead}")


def installed(packages: Iterable[str]) -> dict[str, str | None]:
    """Returns the version of every package; None: it is not installed."""
    return {package: _version(package) for package in packages}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
