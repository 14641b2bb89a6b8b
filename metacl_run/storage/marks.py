"""Marks for numbers that are not plain test numbers, in one wording everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TUNED_ON_TEST = "learning rate tuned on test"
"""Marks numbers whose learning rate was chosen by the score on the very classes that they are measured on."""
TUNED_ON = {"test": TUNED_ON_TEST, "validation": "learning rate tuned on validation"}
"""The same by the split that the numbers are measured on."""
ON_VALIDATION = "validation, not test"
"""Marks numbers measured on the classes that `protocol.eval_split=validation` sets aside for choosing settings."""
DEBUG_MARK = "debug run, no result"
"""Marks a run that debug=true has shortened."""
TRANSDUCTIVE_MARK = "transductive"
"""Marks a run of version 0.1 whose every score is of all queries of an episode together."""


def evaluation_words(summary: Mapping[str, Any]) -> str:
    """Names the run whose learner an evaluation has measured."""
    return f"evaluation of run {summary['evaluation_of']['run_id']}"


def marks(summary: Mapping[str, Any]) -> list[str]:
    """Returns what a reader has to know of a run's numbers before reading them."""
    split, test = summary["eval_split"], summary["meta_test"]
    marked = [DEBUG_MARK] if summary["debug"] else []
    marked += [TRANSDUCTIVE_MARK] if summary["transductive"] else []
    marked += [evaluation_words(summary)] if summary["evaluation_of"] else []
    marked += [ON_VALIDATION] if split == "validation" else []
    return [*marked, TUNED_ON[split]] if test is not None and test["tuned_on"] == "test" else marked
