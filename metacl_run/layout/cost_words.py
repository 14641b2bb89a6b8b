"""Words and numbers for what training cost."""

from __future__ import annotations

MEASURES = {"units": "units of work", "examples": "examples read", "flops": "operations", "seconds": "seconds of training"}
"""The fields of `storage.run_cost.RunCost`, in words."""
BESIDE_SCORES = ("examples", "flops", "seconds")
"""Those beside which figures show a score: units of work differ from method to method."""
ABOUT_COST = (
    "Of one seed. Examples read: those of all units of work, replayed ones included; a batch counts once, however many updates "
    "read it. Operations: floating-point operations of training, counted by torch. Seconds: of training, over the seeds that "
    "were computed together, on whatever computed them."
)


def cost_text(measure: str, cost: float | None) -> str:
    """A cost in a table: whole units and examples, operations as 1.2e9, seconds to a tenth."""
    if cost is None:
        return "-"
    return {"flops": f"{cost:.2g}", "seconds": f"{cost:,.1f}"}.get(measure, f"{cost:,.0f}").replace("e+", "e")
