"""Imports go one way, cli -> experiment, config -> protocols -> algorithms -> inner, with leaves beside: read from source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "metacl_run"

ALLOWED: dict[str, set[str]] = {
    "metacl_run": {"api", "core"},
    # the roof: the command, one run, the public API
    "api": {
        *(
            "comparison",
            "config",
            "core",
            "data.images",
            "data.sources.source",
            "data.text",
            "experiment",
            "layout",
            "protocols",
            "reporting",
        ),
        *("references", "runtime.torch_switches", "scoring.objectives", "storage", "trained_run"),
    },
    "__main__": {"cli"},
    "cli": {"commands", "config", "core", "experiment", "reproduction", "runtime.process_group", "runtime.ranks", "sweeps"},
    "commands": {"config", "core", "experiment", "index", "references", "reporting", "storage", "trained_run"},
    "trained_run": {"config", "core", "protocols.train_state", "runtime.own_code", "storage"},
    "experiment": {
        *("config.load", "core", "finished_run", "index", "trained_run", "listeners.console", "listeners.fault_tolerant"),
        *("protocols.protocol_result", "protocols.run_context", "run_summary", "runtime", "storage"),
    },
    "run_summary": {
        *("config.load", "core", "protocols.protocol_result", "protocols.score_history"),
        *("runtime.process_memory", "scoring", "storage.run_files"),
    },
    "finished_run": {"core", "listeners.console", "references", "reporting", "runtime", "storage"},
    "references": {"config.citations", "core", "storage"},
    # many runs
    "sweeps": {
        *(
            "config",
            "core",
            "experiment",
            "index",
            "layout",
            "reporting.report_stamp",
            "runtime.own_code",
            "scoring",
            "storage",
        ),
    },
    "reproduction": {"config", "core", "index", "layout", "scoring", "storage", "sweeps"},
    "comparison": {"core", "layout", "scoring", "storage"},
    "index": {"core", "layout", "scoring", "storage"},
    # one run
    "config": {"core", "models.learned_model", "storage.completed_run", "storage.run_files", "storage.store"},
    "protocols": {
        *("algorithms.meta_learner", "algorithms.continual_meta.episode_learner", "algorithms.online.stream_learner"),
        *(
            "algorithms.online.exemplar_learner",
            "algorithms.meta_continual.trajectory_learner",
            "algorithms.meta_continual.sequence_learner",
            "algorithms.meta_continual.class_scores",
            "algorithms.meta_continual.class_sums",
            "algorithms.osaka.task_free_learner",
            "core",
            "data.streams",
            "inner",
            "kernels.build",
            "models",
        ),
        *("runtime.device", "runtime.ranks", "scoring", "storage.run_writer"),
    },
    "algorithms": {
        *("core", "inner", "models.network", "models.split_network", "scoring.objectives"),
        *("models.encoder_decoder", "models.sequence_attention", "models.sequence_transformer"),
    },
    "inner": {"core", "kernels", "models.network", "models.split_network", "scoring.objectives"},
    "models": {"core", "kernels", "scoring.objectives"},
    "data": {"core", "kernels.build", "scoring.objectives", "scoring.scores", "simulators"},
    "kernels": set(),
    "simulators": {"core"},
    # what a run leaves, and how it is shown
    "listeners": {"core", "reporting.terminal", "scoring", "storage"},
    "reporting": {"core", "layout", "scoring", "storage"},
    "layout": {"core", "scoring", "storage.run_files"},
    "storage": {"core", "scoring"},
    # what everything else stands on
    "runtime": {"core", "inner"},
    "scoring": {"core"},
    "core": set(),
}
"""What each room of the package may import of the others: a room, a shelf or a module of it. `metacl_run` is `__init__.py`."""

CONFINED = {
    "hydra": {"cli", "config.compose", "config.overrides", "sweeps.space"},
    "omegaconf": {"config.compose", "config.debug", "config.evaluation", "config.load"},
    "optuna": {"sweeps.study"},
    "wandb": {"listeners.wandb_listener"},
    "mlflow": {"listeners.mlflow_listener"},
    "torchvision": set(),  # only through data.files.torchvision_guard, which imports it by name
}
"""Packages that only these modules may import."""

INTERFACES = {
    *("algorithms", "algorithms.continual_meta", "algorithms.meta_continual", "algorithms.online", "algorithms.osaka"),
    *("algorithms.osaka.task_free_learner", "algorithms.osaka.updating_maml", "algorithms.continual_meta.maml"),
    *("algorithms.meta_learner", "algorithms.continual_meta.episode_learner", "algorithms.online.stream_learner"),
    *("algorithms.continual_meta.closed_form_learner", "algorithms.online.gradient_learner", "algorithms.online.replay_buffer"),
    "algorithms.online.running_fisher",
    *("algorithms.meta_continual.trajectory_learner", "algorithms.meta_continual.sequence_learner"),
    *("algorithms.online.exemplar_learner", "algorithms.meta_continual.sequence_sgd", "algorithms.meta_continual.class_sums"),
    *("algorithms.meta_continual.sequence_adam", "algorithms.meta_continual.trajectory_update"),
    "algorithms.meta_continual.refuse_targets",
    *(
        "algorithms.meta_continual.class_scores",
        "algorithms.meta_continual.head_tested",
        "algorithms.meta_continual.ridge_head",
    ),
}
COMPONENT_GROUPS = ("algo", "data", "model", "protocol")


def modules() -> dict[str, Path]:
    """algorithms.maml -> its file, for every module of the package; `metacl_run` for `__init__.py`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__") or "metacl_run"] = path
    return found


MODULES = modules()


def imported(path: Path) -> Iterator[str]:
    """Full dotted names of everything a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            assert node.module is not None
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}".removeprefix("metacl_run.")
                yield f"metacl_run.{submodule}" if submodule in MODULES else node.module


def own(path: Path) -> set[str]:
    """The modules of this package that a file imports, as in `MODULES`."""
    names = {name for name in imported(path) if name.split(".")[0] == "metacl_run"}
    return {name.removeprefix("metacl_run.") for name in names}


def part(module: str) -> str:
    return module.split(".")[0]


def rooms(module: str) -> Iterator[str]:
    """algorithms, algorithms.online, algorithms.online.er."""
    parts = module.split(".")
    yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_part_may(module: str) -> None:
    assert part(module) in ALLOWED, f"a new part, {part(module)}: say in ALLOWED what it may import"
    others = {name for name in own(MODULES[module]) if part(name) != part(module)}
    refused = {name for name in others if not set(rooms(name)) & ALLOWED[part(module)]}
    assert not refused, f"{module} imports {', '.join(sorted(refused))}"


def test_the_allowed_imports_have_no_circle() -> None:
    list(TopologicalSorter({name: {part(other) for other in others} for name, others in ALLOWED.items()}).static_order())


def test_no_module_takes_part_in_a_circle() -> None:
    list(TopologicalSorter({name: own(path) for name, path in MODULES.items()}).static_order())


@pytest.mark.parametrize("package", CONFINED)
def test_outside_packages_stay_in_their_place(package: str) -> None:
    users = {name for name, path in MODULES.items() if package in {each.split(".")[0] for each in imported(path)}}
    assert users <= CONFINED[package]


def test_an_algorithm_imports_no_other() -> None:
    algorithms = {name for name in MODULES if part(name) == "algorithms"} - INTERFACES
    for name in algorithms:
        assert not own(MODULES[name]) & algorithms, name


@pytest.mark.parametrize("group", COMPONENT_GROUPS)
def test_a_component_imports_no_other_of_its_group(group: str) -> None:
    targets = set()
    for path in (REPOSITORY / "configs" / group).glob("*.yaml"):
        target = yaml.safe_load(path.read_text(encoding="utf-8")).get("_target_")
        if target is not None:  # else it inherits another option's
            targets.add(target.rpartition(".")[0].removeprefix("metacl_run."))
    assert targets
    for name in targets:
        assert not own(MODULES[name]) & (targets - {name}), name


def test_the_command_line_answers_without_torch() -> None:
    heavy = "('torch', 'torchvision', 'numpy', 'matplotlib', 'wandb')"
    script = f"import sys, metacl_run.cli; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_help_answers_without_torch(tmp_path: Path) -> None:
    script = "import sys\nfrom metacl_run.cli import main\ntry:\n    main()\nfinally:\n    print('torch' in sys.modules)"
    command = [sys.executable, "-c", script, "--help"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Commands  " in result.stdout
    assert result.stdout.splitlines()[-1] == "False"
    assert not list(tmp_path.iterdir())


def test_a_run_is_computed_without_matplotlib_and_without_other_algorithms(tmp_path: Path) -> None:
    """Only its figures and report need matplotlib; that they are missing is said, and costs nothing else."""
    script = "import sys\nsys.modules['matplotlib'] = None\nfrom metacl_run.cli import main\ntry:\n    main()\nfinally:\n"
    script += "    print(sorted(name for name in sys.modules if name.endswith(('.er', '.gem', '.maml'))))"
    words = ["algo=er", "debug=true", "progress=plain", "output_dir=runs"]
    result = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "completed  er, mlp_small" in result.stdout
    assert result.stdout.splitlines()[-1] == "['metacl_run.algorithms.online.er']"
    assert "figures and report are not drawn: ModuleNotFoundError: import of matplotlib halted" in result.stderr
