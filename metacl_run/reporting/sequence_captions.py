"""Which figures a run under `meta_continual` supports and what is said about each. Shapes as in sequence_records.py."""

from __future__ import annotations

import numpy as np

from metacl_run.layout.seed_lines import smoothing
from metacl_run.reporting.curves import training_loss_panel
from metacl_run.reporting.panel import Panel, spread_words
from metacl_run.reporting.words import words
from metacl_run.scoring.intervals import FEWEST
from metacl_run.storage.read_run import Run
from metacl_run.storage.sequence_records import MetaTest, Representation, Sequences, interval_is_over


def sequence_panels(run: Run, found: Sequences) -> list[Panel]:
    """What meta-test gave first, then how meta-training went, then what is inside the learner."""
    test = found.meta_test
    panels = []
    if test is not None:
        panels += [_sequence_accuracy(run, test), _forgetting_curve(run, test)]
    if test is not None and run.num_tasks > 1 and run.rows_reached:
        panels.append(_accuracy_matrix(run, test))
    if test is not None and test.selection is not None and len(test.rates) > 1:
        panels.append(_choice_of_rate(run, test))
    if len(found.probe_units):
        panels.append(_probes(run, found))
    if "loss" in run.train and np.isfinite(run.train["loss"]).any():
        panels.append(_training_loss(run))
    if test is not None and test.representation is not None:
        panels.append(_representation(run, test.representation))
    if test is not None and test.gate is not None:
        panels.append(_gate_activity(run, test.gate))
    return panels


def mark(test: MetaTest) -> str:
    """What stands before anything said about accuracies whose learning rate was tuned on what they are measured on."""
    return f"{test.tuned_mark.capitalize()}. " if test.tuned_on_test else ""


def _sequence_accuracy(run: Run, test: MetaTest) -> Panel:
    replicates, _, orders = test.held_out.shape
    count = f"{orders} order{'s' if orders > 1 else ''}"
    if test.joint is not None and test.joint.shape[2] != orders:
        count += f" (joint training: {test.joint.shape[2]})"
    every = count if replicates == 1 else f"{count} for each of {replicates} seeds"
    independent = orders if replicates == 1 else replicates
    band = (
        f", with its 95% interval over {interval_is_over(replicates)}." if independent >= FEWEST else ", without an interval."
    )
    seeds = " Thin: each seed." if replicates > 1 else ""
    said, concepts, examples = words(run.objective), run.objective.concepts, run.objective.examples
    bound = (
        f" Dashed: joint training, on the same {concepts} shuffled, for several epochs: what learning in sequence may hope for."
        if test.joint is not None
        else ""
    )
    over = "" if replicates > 1 else f" One meta-trained network: another seed may differ by more than orders of {concepts} do."
    chance = " Chance is one guess among the classes learned." if run.objective.higher_is_better else ""
    stays, goes = ("stays high", "falls") if run.objective.higher_is_better else ("stays low", "rises")
    return Panel(
        "sequence_accuracy",
        f"{said.score.capitalize()} after learning unseen {concepts} one after another",
        f"{mark(test)}Mean over {every}{band}{seeds}",
        f"{mark(test)}The learner meets each of the {concepts} once and never again. Held out: other {examples} of those it "
        f"has learned. Memory: the very {examples} it learned from. Where memory {stays} and held out {goes}, it remembers "
        f"them but does not know the {concepts}; where both {said.worsens.removesuffix('s')}, it forgets."
        f"{bound}{chance}{over}",
    )


def _forgetting_curve(run: Run, test: MetaTest) -> Panel:
    span = smoothing(test.longest)
    concepts, worsens = run.objective.concepts, words(run.objective).worsens
    title = "How well a class is recognised, by how many were learned after it"
    if not run.objective.higher_is_better:
        title = "How well a function is known, by how many were learned after it"
    smoothed = f"Running mean over {span} neighbours; pale: every place. " if span > 1 else ""
    return Panel(
        "forgetting_curve",
        title,
        f"{mark(test)}After {test.longest} {concepts}. {smoothed}{spread_words(run)}",
        f"{mark(test)}Left: what was learned last; right: what was learned first. A line that {worsens} to the right is "
        "forgetting; a flat one means that something else sets the limit than what was learned afterwards. Every point is a "
        "mean over orders, so it is about the place in the sequence and not about what stood there.",
    )


def _accuracy_matrix(run: Run, test: MetaTest) -> Panel:
    seeds = f"Mean of {run.num_replicates} seeds." if run.num_replicates > 1 else "One seed."
    return Panel(
        "accuracy_matrix",
        f"{run.objective.score_words.capitalize()} on every part of the sequence after each part",
        f"{mark(test)}Framed: right after the part itself was learned. Mean over orders. {seeds}{_matrix_rate(test)}",
        f"{mark(test)}Read down a column to see one group of {run.objective.concepts} over time: below its frame is what "
        "learning further ones did to it; above its frame it had not been learned yet.",
    )


def _matrix_rate(test: MetaTest) -> str:
    """At which learning rates the rows are, where there was a choice."""
    if test.chosen is None or not len(test.rates) > 1:
        return ""
    if test.rate_of_matrix is None:
        return " Every row at the rate chosen for it."
    return f" All rows at the rate chosen for all {test.longest}."


def _choice_of_rate(run: Run, test: MetaTest) -> Panel:
    concepts, score = run.objective.concepts, run.objective.score_words
    where = f"the meta-test {concepts} themselves" if test.tuned_on_test else f"meta-train {concepts}"
    on_edge = _on_the_edge(test)
    return Panel(
        "choice_of_rate",
        "How the learning rate of meta-test was chosen",
        f"{mark(test)}{score.capitalize()} of every candidate on {where}. Ring: the rate chosen for that number"
        + ("; the larger, the more seeds chose it." if len(test.held_out) > 1 else "."),
        f"{mark(test)}A flat top means that the choice hardly matters; a narrow one, that results depend on it. "
        + (
            f"The choice was made on the {concepts} that the run is judged by, so its result is flattered: compare it only "
            "with numbers that were tuned in the same way."
            if test.tuned_on_test
            else f"None of the {concepts} of meta-test had a part in the choice."
        )
        + on_edge,
    )


def _on_the_edge(test: MetaTest) -> str:
    """A hint where the best candidate is the smallest or the largest, so that a better one may lie outside."""
    if test.chosen is None or not np.isin(test.chosen, [test.rates.min(), test.rates.max()]).any():
        return ""
    return " A ring at an edge of the range: a rate beyond it might have done better."


def _probes(run: Run, found: Sequences) -> Panel:
    concepts = f"{found.probe_length} {run.objective.concepts}"
    return Panel(
        "probes",
        "What meta-training does for learning in sequence",
        f"A meta-test of {concepts}, repeated while the learner is meta-trained. {spread_words(run)}",
        f"At every point the learner of that moment learns {concepts} one after another. "
        " Lines that no longer change: more meta-updates will hardly help. Held out that gets worse while memory gets "
        "better: meta-training has begun to overfit. Probes are small and tell the trend, not the result.",
    )


def _training_loss(run: Run) -> Panel:
    explanation = "The loss of the outer objective: on what was just learned and on other examples, after learning in sequence."
    return training_loss_panel(run, "Loss of meta-training", explanation)


def _representation(run: Run, inside: Representation) -> Panel:
    seed = f" Pictures: seed {run.summary['seeds'][0]}." if run.num_replicates > 1 else ""
    over = f", means over {run.num_replicates} seeds" if run.num_replicates > 1 else ""
    many = run.objective.examples
    one = many.removesuffix("s")
    each = "an image" if one == "image" else f"a {one}"
    return Panel(
        "representation",
        "The representation: which units are active",
        f"{inside.active.mean():.1%} of the {inside.mean.shape[1]} units are active for {each}; {inside.dead.mean():.1%} are "
        f"dead, 0 for every {one}{over}.{seed}",
        "Every unit of the representation is one cell; its place has no meaning but is the same in all pictures. Left: average "
        f"activation over many {many}. Right: single {many}. What the OML paper found is a representation that is sparse for "
        f"every {one} (few filled cells on the right) and yet uses all units (no dead cells on the left): {many} then share "
        "few units, and learning one disturbs others little.",
    )


def _gate_activity(run: Run, gate: np.ndarray) -> Panel:
    seed = f" Picture: seed {run.summary['seeds'][0]}." if run.num_replicates > 1 else ""
    apart = gate.std(axis=1).mean()
    return Panel(
        "gate_activity",
        "What the neuromodulatory gate lets through, class by class",
        f"Mean activity {gate.mean():.2f}; that of one unit differs between classes by {apart:.2f} (standard deviation).{seed}",
        "A row is a class, a column a unit of the gate. A column of one colour treats every class alike; one that changes "
        "from row to row opens for some classes only, which keeps learning these from disturbing the others.",
    )
