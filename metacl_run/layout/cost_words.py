"""Words and numbers for what training cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from metacl_run.layout.grid import Cell

MEASURES = {"units": "units of work", "examples": "examples read", "flops": "operations", "seconds": "seconds of training"}
"""The fields of `storage.run_cost.RunCost`, in words."""
BESIDE_SCORES = ("examples", "flops", "seconds")
"""Those beside which figures show a score: units of work differ from method to method."""
EXPLANATIONS = {
    "examples": "Examples read: those of all units of work, replayed ones included; a batch counts once, however many updates "
    "read it.",
    "flops": "Operations: floating-point operations of training, counted by torch.",
    "seconds": "Seconds: of training, over the seeds that were computed together, on whatever computed them.",
}
UNKNOWN = "-"
NO_OPERATIONS = (
    f"{UNKNOWN}: not known. Operations are counted in runs of 100 units of work or more, of one process, without CUDA graphs."
)


def about_costs(measures: Iterable[str], rows: Sequence[Sequence[Cell]]) -> str:
    """The note below a table of costs, on the measures that it has."""
    words = ["Of one seed.", *(EXPLANATIONS[measure] for measure in measures if measure in EXPLANATIONS)]
    if any(cell.text == UNKNOWN for row in rows for cell in row):
        words.append(NO_OPERATIONS)
    return " ".join(words)


def cost_text(measure: str, cost: float | None) -> str:
    """A cost in a table: whole units and examples, operations as 1.2e9, seconds to a tenth."""
    if cost is None:
        return UNKNOWN
    return {"flops": f"{cost:.2g}", "seconds": f"{cost:,.1f}"}.get(measure, f"{cost:,.0f}").replace("e+", "e")
