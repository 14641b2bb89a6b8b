"""`figures.style` of a run that has ended: figures for a paper are drawn when they are first wanted, without computing;
with none nothing is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.experiment import run


def test_the_same_run_in_another_style(drawn: Callable[..., Experiment], capsys: pytest.CaptureFixture[str]) -> None:
    built = drawn()
    assert run(built) == 0
    paper = built.directory / "figures" / "paper"
    assert not paper.exists()
    before = (built.directory / "summary.json").read_bytes()
    capsys.readouterr()
    in_style = drawn("figures.style=paper")
    assert in_style.directory == built.directory
    for words in (True, False):
        assert run(in_style) == 0
        assert ("drawing them again" in capsys.readouterr().out) is words
    assert {path.name for path in paper.iterdir()} == {
        *(f"{name}.{suffix}" for name in ("accuracy_by_task", "training_loss") for suffix in ("pdf", "svg")),
        "figures.tex",
    }
    assert (built.directory / "summary.json").read_bytes() == before
    assert "@inproceedings{finn2017maml" in (built.directory / "references.bib").read_text()
    assert "How to cite" in (built.directory / "report.html").read_text()
    assert run(built) == 0
    assert "drawing" not in capsys.readouterr().out


def test_nothing_is_drawn_until_the_same_command_asks_for_it(small: Callable[..., Experiment]) -> None:
    built, with_figures = small(), small("figures.style=screen")
    report, figures = built.directory / "report.html", built.directory / "figures"
    assert with_figures.directory == built.directory
    assert run(built) == 0
    assert not report.exists()
    assert not figures.exists()
    assert run(with_figures) == 0
    assert report.exists()
    assert list(figures.glob("*.png"))
    assert run(built) == 0
    assert report.exists()  # what is up to date stays
    assert run(small("rerun=true")) == 0
    assert not report.exists()  # that of an earlier computation does not


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("figures.style=papr", "figures.style=papr: must be one of screen, paper, none. Did you mean paper?"),
        ("figures=paper", "figures=paper: must have the setting style"),
        ("+figures.styl=paper", "figures.styl=paper: there is no such setting. Did you mean style?"),
    ],
)
def test_mistakes_in_the_style(override: str, message: str, small: Callable[..., Experiment]) -> None:
    with pytest.raises(ConfigError) as refused:
        small(override)
    assert message in str(refused.value)
