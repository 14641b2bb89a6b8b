"""Results of runs from Python: the numbers of the files, one message for each mistake, light imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import metacl_run as mr
from metacl_run.runtime.torch_switches import torch_switches_kept
from tests.comparison.conftest import matrices, write_run
from tests.support.small_runs import KINDS, settings
from tests.support.stored_runs import build_run


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_says_is_what_the_files_hold(kind: str, finished_runs: dict[str, mr.RunResult]) -> None:
    result = mr.load(finished_runs[kind].directory)
    summary = json.loads((result.directory / "summary.json").read_text())
    assert (result.status, result.run_id, result.seeds) == ("completed", summary["run_id"], [0, 4])
    assert result.metrics["accuracy"].values == tuple(summary["metrics"]["accuracy"]["values"])
    assert result.metrics["accuracy"].mean == pytest.approx(np.mean(result.metrics["accuracy"].values))
    assert np.array_equal(result.matrix, np.load(result.directory / "accuracy_matrix.npy"), equal_nan=True)
    assert result.report.is_file()
    assert str(result.directory) in repr(result)


def test_the_same_run_is_loaded_not_computed(finished_runs: dict[str, mr.RunResult]) -> None:
    run = finished_runs["online"]
    changed = (run.directory / "metrics.jsonl").stat().st_mtime_ns
    again = mr.run(settings("online", run.directory.parents[2]))
    assert again.directory == run.directory
    assert (run.directory / "metrics.jsonl").stat().st_mtime_ns == changed


@pytest.mark.parametrize("kind", KINDS)
def test_curves_are_the_records_one_value_each(kind: str, finished_runs: dict[str, mr.RunResult]) -> None:
    result = finished_runs[kind]
    lines = [json.loads(line) for line in (result.directory / "metrics.jsonl").read_text().splitlines()]
    losses = {
        (line["unit"], seed): line["metrics"]["loss"][i]
        for line in lines
        if line["kind"] == "train"
        for i, seed in enumerate([0, 4])
    }
    curves = result.curves
    assert {(r["unit"], r["seed"]): r["value"] for r in curves if r["metric"] == "loss"} == losses
    assert len({frozenset(record) for record in curves}) == 1
    if kind == "meta_continual":
        tested = [r for r in curves if r["kind"] == "meta_test" and r["metric"] == "accuracy" and r["seed"] == 4]
        expected = np.array(result.summary["meta_test"]["accuracy"][1]).mean(-1)
        assert [r["classes"] for r in tested] == [3, 6]
        assert [r["value"] for r in tested] == pytest.approx(expected.tolist())
    else:
        last = max(r["unit"] for r in curves)
        final = [r["value"] for r in curves if r["kind"] == "evaluation" and r["unit"] == last and r["seed"] == 4]
        assert final == [score for score in result.matrix[1, -1].tolist() if not np.isnan(score)]


def test_matrix_and_metrics_as_records(finished_runs: dict[str, mr.RunResult]) -> None:
    result = finished_runs["online"]
    records = result.records("matrix")
    assert {"seed": 4, "learned": 2, "task": 3, "name": result.task_names[1][2], "value": result.matrix[1, 2, 2]} in records
    assert len(records) == np.isfinite(result.matrix).sum()
    assert {"metric": "bti", "seed": 0, "value": result.metrics["bti"].values[0]} in result.records("metrics")
    with pytest.raises(mr.UserError, match="Did you mean curves"):
        result.records("curve")  # type: ignore[arg-type]


def test_runs_are_found_and_compared(finished_runs: dict[str, mr.RunResult]) -> None:
    folder = finished_runs["online"].directory.parents[2]
    assert {result.run_id for result in mr.find(folder)} == {result.run_id for result in finished_runs.values()}
    with pytest.raises(mr.UserError, match=f"{folder}: is no run but a folder of runs"):
        mr.load(folder)
    with pytest.raises(mr.UserError, match="figure acuracy: there is no such figure"):
        mr.compare(folder).figure("acuracy")
    record = next(
        r for r in mr.compare(finished_runs.values()).records() if r["configuration"] == "er" and r["metric"] == "accuracy"
    )
    assert record["mean"] == pytest.approx(finished_runs["online"].metrics["accuracy"].mean)
    assert record["seeds"] == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mr.run(["algo=mamll"]), "algo=mamll: there is no such option. Did you mean maml?"),
        (lambda: mr.run(["algo.outer_lr=-1", "protocol.eval_episodes=0"]), "algo.outer_lr=-1: must be greater than 0"),
        (lambda: mr.run("algo=maml"), "must be a list of texts"),
        (lambda: mr.run(["algo=maml,reptile"]), "several values are a sweep"),
        (lambda: mr.run(["table=oml"]), "starts many runs"),
        (lambda: mr.run([], config_dir="/nowhere"), "/nowhere"),
        (lambda: mr.load("/nowhere"), "/nowhere: there is no such folder"),
        (lambda: mr.load(Path(__file__).parent), "holds no summary.json"),
        (lambda: mr.compare([]), "the list is empty"),
        (lambda: mr.compare(["/nowhere"]), "/nowhere: there is no such folder"),
    ],
)
def test_mistakes_raise_what_the_command_line_prints(call: object, message: str) -> None:
    with pytest.raises(mr.UserError) as error:
        call()  # type: ignore[operator]
    assert message in str(error.value)


def test_a_half_written_summary_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"schema": 1, "sta')
    with pytest.raises(mr.UserError, match="is truncated or no summary"):
        mr.load(tmp_path)
    (tmp_path / "summary.json").write_text('{"schema": 99, "status": "completed"}')
    with pytest.raises(mr.UserError, match="written by another version"):
        mr.load(tmp_path)


def test_a_run_leaves_the_switches_of_torch_as_they_were(tmp_path: Path) -> None:
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    mr.run([*settings("online", tmp_path), "gpu.threads=2", "gpu.deterministic=true", "seeds=[1]"])
    assert (torch.get_num_threads(), torch.get_deterministic_debug_mode()) == before


def test_what_a_run_on_a_card_sets_is_restored_too() -> None:
    def switches() -> tuple[object, ...]:
        cuda, cudnn = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn
        return cuda, cudnn.conv.fp32_precision, cudnn.benchmark, torch.utils.deterministic.fill_uninitialized_memory

    before = switches()
    with torch_switches_kept():
        torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.conv.fp32_precision = "tf32"
        torch.backends.cudnn.benchmark = not before[2]
        torch.utils.deterministic.fill_uninitialized_memory = not before[3]
        assert switches() != before
    assert switches() == before


def test_importing_and_loading_are_light(finished_runs: dict[str, mr.RunResult]) -> None:
    script = (
        "import sys, metacl_run\n"
        "print([name for name in ('numpy', 'torch', 'hydra', 'matplotlib', 'wandb', 'scipy') if name in sys.modules])\n"
        f"metacl_run.load({str(finished_runs['online'].directory)!r}).curves\n"
        "print([name for name in ('torch', 'hydra', 'matplotlib', 'wandb') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["[]", "[]"]


def test_every_public_name_is_there_and_documented() -> None:
    for name in mr.__all__:
        assert name == "__version__" or getattr(mr, name).__doc__
    assert sorted(mr.__all__) == dir(mr)
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        mr.rum  # noqa: B018


def test_what_a_notebook_shows_is_escaped(tmp_path: Path) -> None:
    for name, shift in (("a", "none"), ("b", "<b>x</b>")):
        write_run(tmp_path / name, matrices(0.7, [0]), data__shift=shift)
    html = mr.compare(tmp_path)._repr_html_()
    assert repr(mr.compare(tmp_path)).startswith("ComparedRuns(configurations by table: ")
    assert "<h4>split_glyphs, continual_meta, data.shift=&lt;b&gt;x&lt;/b&gt;</h4>" in html
    assert "<b>" not in html
    path = build_run(tmp_path / "run", names=[["one", "<b>two</b>", "three"]]) / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "protocol": "osaka", "protocol_kind": "osaka"}))
    html = mr.load(tmp_path / "run")._repr_html_()
    assert "&lt;b&gt;two&lt;/b&gt;" in html
    assert "<b>two" not in html


def test_references_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    run = mr.load(build_run(tmp_path / "run"))
    (run.directory / "references.bib").write_bytes(b"@misc{\xff}")
    with pytest.raises(mr.UserError, match=r"references\.bib: is truncated or damaged"):
        run.cite()
    (run.directory / "references.bib").unlink()
    (run.directory / "references.bib").mkdir()
    with pytest.raises(mr.UserError, match=r"references\.bib: is truncated or damaged"):
        run.cite()
