"""A grid in its four notations: read back by another reader where there is one, by eye where not."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest

from metacl_run.layout.csv_text import csv_text
from metacl_run.layout.grid import Cell, Grid, to_csv, to_html, to_latex, to_markdown

GRID = Grid(
    "Accuracy & forgetting, 50% of #1",
    ["algorithm", "accuracy", "seeds"],
    [
        [
            Cell("maml algo.outer_lr=0.01"),
            Cell("0.824 ± 0.015", "a", "good", {"mean": 0.8240000000000001, "low": None}),
            Cell("3"),
        ],
        [Cell("a|b_ <i>"), Cell("-0.015 to -.006", tone="bad", numbers={"mean": -0.015, "low": -1e-9}), Cell("[2]")],
    ],
    ["a tuned on test", "_x_ < 5"],
)


def test_markdown_by_hand() -> None:
    assert to_markdown(GRID) == (
        "### Accuracy & forgetting, 50% of \\#1\n\n"
        "| algorithm               |                  accuracy | seeds |\n"
        "| ----------------------- | ------------------------: | ----: |\n"
        "| maml algo.outer_lr=0.01 | 0.824 ± 0.015<sup>a</sup> |     3 |\n"
        "| a\\|b\\_ \\<i\\>            |           -0.015 to -.006 | \\[2\\] |\n\n"
        "- a tuned on test\n- \\_x\\_ \\< 5\n"
    )


def test_latex_by_hand() -> None:
    assert to_latex(GRID, "tab:one").splitlines() == [
        r"\begin{table}[tb]",
        r"\centering",
        r"\caption{Accuracy \& forgetting, 50\% of \#1}",
        r"\label{tab:one}",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"algorithm & accuracy & seeds \\",
        r"\midrule",
        r"maml algo.outer\_lr=0.01 & 0.824 $\pm$ 0.015\textsuperscript{a} & 3 \\",
        r"a$|$b\_ $<$i$>$ & $-$0.015 to $-$.006 & {}[2] \\",
        r"\bottomrule",
        r"\end{tabular}",
        "",
        r"\medskip",
        r"\begin{minipage}{0.95\linewidth}\footnotesize",
        r"a tuned on test\par",
        r"\_x\_ $<$ 5\par",
        r"\end{minipage}",
        r"\end{table}",
    ]


@pytest.mark.parametrize(
    "text", ['\\ { } & % $ # _ ~ ^ < > | " ± \N{MULTIPLICATION SIGN} ≤ ≥ → · † ‡ … \N{EN DASH}', "a\nb", "1e-05 and -3", "-0.1"]
)
def test_latex_leaves_no_character_that_tex_would_act_on_or_not_know(text: str) -> None:
    latex = to_latex(Grid(text, [text], [[Cell(text, text)]], [text]))
    assert latex.isascii()
    plain = re.sub(r"\\[a-zA-Z]+|\\[\\{}&%$#_]", " ", latex)  # commands and escaped characters
    assert not set(plain) & set('%#_^"<>|~') - set(re.findall(r"\$(.)\$", plain))
    assert plain.count("$") % 2 == 0
    assert plain.count("{") == plain.count("}")
    assert latex.count(r"\begin{") == latex.count(r"\end{") == 3


def test_csv_has_the_numbers_and_quotes_what_needs_it() -> None:
    quoted = Grid("", ["name", "mean"], [[Cell('one, "two"\nthree'), Cell("0.8", "*")]])
    assert list(csv.reader(io.StringIO(to_csv(quoted)))) == [["name", "mean"], ['one, "two"\nthree', "0.8"]]
    assert to_csv(GRID) == (
        "algorithm,accuracy mean,accuracy low,seeds\n"
        "maml algo.outer_lr=0.01,0.8240000000000001,,3\n"
        "a|b_ <i>,-0.015,-1e-09,[2]\n"
    )


def test_html_read_by_a_parser_says_the_same() -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.texts: list[tuple[str, str]] = []

        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            self.open.append(" ".join([tag, *(f"{key}={value}" for key, value in attributes)]))

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop().split()[0] == tag

        def handle_data(self, data: str) -> None:
            if data.strip():
                self.texts.append((self.open[-1], data))

    reader = Reader()
    reader.feed(str(to_html(GRID)))
    assert reader.open == []
    assert reader.texts == [
        ("caption", "Accuracy & forgetting, 50% of #1"),
        *[("th scope=col", heading) for heading in GRID.headings],
        ("th scope=row", "maml algo.outer_lr=0.01"),
        ("td class=good", "0.824 ± 0.015"),
        ("sup", "a"),
        ("td", "3"),
        ("th scope=row", "a|b_ <i>"),
        ("td class=bad", "-0.015 to -.006"),
        ("td", "[2]"),
        ("li", "a tuned on test"),
        ("li", "_x_ < 5"),
    ]


def test_an_empty_grid_and_a_ragged_one() -> None:
    empty = Grid("nothing", ["a", "b"], [])
    assert to_csv(empty) == "a,b\n"
    assert to_markdown(empty).count("\n") == 4
    with pytest.raises(AssertionError, match="rows of \\[1\\] cells under 2"):
        Grid("ragged", ["a", "b"], [[Cell("x")]])


FORMULAS = [
    "=cmd|' /C calc'!A0",
    "+1+cmd",
    "-2+3+cmd|x",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\uff1d1+1",
    "-x",
    "+0.3 (0.1)",
    "-0.1 to 0.2",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_spreadsheet_computes_no_text(text: str) -> None:
    written = to_csv(Grid("", [text, "=b"], [[Cell(text), Cell("", numbers={"mean": -1.0})]]))
    shown = "'" + text.replace("\r", "\n")
    assert list(csv.reader(io.StringIO(written, newline=""))) == [[shown, "'=b mean"], [shown, "-1.0"]]


@pytest.mark.parametrize("text", ["", "er", "-", "-0.5", "+.5", "-1e-05", "1=1", "a-b", "{}", "-inf"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert next(csv.reader(io.StringIO(csv_text([["name", text]])))) == ["name", text]
