"""`figures.style` of a run that has ended: figures for a paper are drawn when they are first wanted, without computing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.experiment import run


def test_the_same_run_in_another_style(small: Callable[..., Experiment], capsys: pytest.CaptureFixture[str]) -> None:
    built = small()
    assert run(built) == 0
    paper = built.directory / "figures" / "paper"
    assert not paper.exists()
    before = (built.directory / "summary.json").read_bytes()
    capsys.readouterr()
    in_style = small("figures.style=paper")
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


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("figures.style=papr", "figures.style=papr: must be one of screen, paper. Did you mean paper?"),
        ("figures=paper", "figures=paper: must have the setting style"),
        ("+figures.styl=paper", "figures.styl=paper: there is no such setting. Did you mean style?"),
    ],
)
def test_mistakes_in_the_style(override: str, message: str, small: Callable[..., Experiment]) -> None:
    with pytest.raises(ConfigError) as refused:
        small(override)
    assert message in str(refused.value)
