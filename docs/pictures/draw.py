"""Draws the pictures of the documentation into this folder: python docs/pictures/draw.py"""

from __future__ import annotations

from pathlib import Path

from shapes import BLUE, GREEN, GREY, ORANGE, arrow, box, labelled, lines, picture, text

WIDTH = 720
TASKS = ("task 1", "task 2", "task 3")


def continual_meta() -> str:
    parts = []
    for number, name in enumerate(TASKS):
        x = 8 + number * 237
        parts += [box(x, 8, 222, 92, colour=BLUE), text(x + 10, 28, name, bold=True)]
        parts += [labelled(x + 10 + 52 * i, 40, 46, 24, "episode", colour=BLUE, size=10) for i in range(4)]
        parts.append(text(x + 10, 86, "a meta-update on every meta-batch", size=11))
        middle = x + 111
        parts += [arrow(middle, 104, middle, 130), box(x + 20, 132, 182, 58, colour=ORANGE)]
        parts += [lines(x + 111, 152, ["few-shot accuracy on unseen", "classes of every task"], size=12, anchor="middle")]
        parts.append(text(x + 111, 184, f"row {number + 1} of the accuracy matrix", size=10, anchor="middle"))
    parts += [arrow(230 + 237 * i, 54, 244 + 237 * i, 54) for i in range(2)]
    return picture(WIDTH, 198, "Protocol continual_meta: meta-learn task after task, evaluate all tasks after each", *parts)


def online() -> str:
    parts = []
    for number, name in enumerate(TASKS):
        x = 8 + number * 237
        parts += [box(x, 8, 222, 64, colour=BLUE), text(x + 10, 26, name, bold=True)]
        parts += [labelled(x + 10 + 41 * i, 36, 36, 24, "batch", colour=BLUE, size=10) for i in range(5)]
        middle = x + 160
        parts += [arrow(middle, 76, middle, 150), box(x + 98, 152, 124, 56, colour=ORANGE)]
        parts += [lines(middle, 172, ["accuracy on the test", "data of every task"], size=11, anchor="middle")]
        parts.append(text(middle, 202, f"row {number + 1}", size=10, anchor="middle"))
        parts += [arrow(x + 30, 76, x + 30, 100), arrow(x + 58, 100, x + 58, 76)]
    parts += [box(8, 102, 696, 30, colour=GREEN), text(180, 122, "replay buffer: keeps a few samples", size=12)]
    parts += [arrow(230 + 237 * i, 40, 244 + 237 * i, 40) for i in range(2)]
    return picture(
        WIDTH, 216, "Protocol online: every sample is seen once, in small batches; a replay buffer keeps a few", *parts
    )


def meta_continual() -> str:
    parts = [box(8, 8, 270, 150, colour=BLUE), text(18, 28, "1. meta-training on meta-train classes", bold=True, size=11)]
    parts += [labelled(18 + 50 * i, 42, 34, 24, f"x{i + 1}", colour=BLUE) for i in range(5)]
    parts += [arrow(54 + 50 * i, 54, 66 + 50 * i, 54) for i in range(4)]
    parts.append(lines(18, 88, ["inner loop: one example at a time,", "on a trajectory of some classes"], size=11))
    parts.append(lines(18, 126, ["then the outer loss on those and on", "random classes: one meta-update"], size=11))
    parts += [arrow(282, 83, 308, 83), box(312, 8, 400, 150, colour=ORANGE)]
    parts.append(text(322, 28, "2. meta-test on unseen classes, never going back", bold=True, size=12))
    for x, name in ((322, "c1"), (366, "c2"), (440, "c10"), (524, "c20"), (624, "c100")):
        parts.append(labelled(x, 42, 46 if name == "c100" else 38, 24, name, colour=ORANGE))
    parts += [text(x, 58, ". . .", size=14) for x in (410, 490, 582)]
    for x, words in ((459, "after 10"), (543, "after 20"), (647, "after 100")):
        parts += [arrow(x, 70, x, 90), text(x, 104, words, size=11, anchor="middle")]
    parts.append(
        lines(
            322,
            128,
            ["accuracy on what was learned (memory) and on held-out", "examples of the same classes (accuracy)"],
            size=11,
        )
    )
    return picture(
        WIDTH, 166, "Protocol meta_continual: meta-learn how to learn in sequence, then learn unseen classes", *parts
    )


ROWS = (
    ("before learning", ".10", ".10", ".10"),
    ("after task 1", ".80", ".20", ".10"),
    ("after task 2", ".90", ".70", ".15"),
    ("after task 3", ".85", ".75", ".60"),
)
MEANINGS = (
    (ORANGE, "last row", "accuracy = mean(.85, .75, .60) = .733"),
    (BLUE, "diagonal", "learning_accuracy = mean(.80, .70, .60) = .700"),
    (ORANGE, "last row - diagonal", "bwt = mean(.85 - .80, .75 - .70) = .050"),
    (GREEN, "above the diagonal - first row", "fwt = mean(.20 - .10, .15 - .10) = .075"),
    (GREY, "best before the end - last row", "forgetting = mean(.90 - .85, .70 - .75) = .000"),
)


def osaka() -> str:
    parts = [box(8, 8, 120, 96, colour=BLUE), text(18, 28, "pre-training", bold=True, size=12)]
    parts += [lines(18, 50, ["episodes of the", "first domain,", "or none"], size=11), arrow(132, 56, 148, 56)]
    visits = ((152, 4, "a task of domain 1", BLUE), (356, 3, "of domain 2", ORANGE), (510, 4, "of domain 1 again", BLUE))
    for x, count, name, colour in visits:
        parts += [box(x, 8, 48 * count + 8, 64, colour=colour), text(x + 8, 26, name, bold=True, size=11)]
        parts += [labelled(x + 6 + 48 * i, 36, 42, 24, "step", colour=colour, size=10) for i in range(count)]
    for x in (356, 510):
        parts += [arrow(x - 4, 118, x - 4, 78)]
    parts.append(text(432, 132, "switches that nobody tells", size=11, anchor="middle"))
    parts += [box(152, 144, 558, 30, colour=GREEN)]
    parts.append(
        text(
            431,
            164,
            "every step: predict a batch (this is the score), then see its targets and learn",
            size=12,
            anchor="middle",
        )
    )
    return picture(WIDTH, 182, "Protocol osaka: predict, then learn; tasks recur, and task boundaries are not told", *parts)


def accuracy_matrix() -> str:
    parts = [text(122 + 66 * i, 24, name, size=12) for i, name in enumerate(TASKS)]
    for row, (name, *values) in enumerate(ROWS):
        y = 36 + 42 * row
        parts.append(text(104, y + 22, name, size=12, anchor="end"))
        for column, value in enumerate(values):
            kind = ORANGE if row == 3 else BLUE if row == column + 1 else GREEN if row == column or row == 0 else GREY
            parts.append(labelled(112 + 66 * column, y, 60, 34, value, colour=kind, size=13))
    parts.append(box(112 + 66 * 2 + 4, 36 + 42 * 3 + 4, 52, 26, colour=BLUE, strength=0))
    for number, (colour, where, formula) in enumerate(MEANINGS):
        y = 38 + 34 * number
        parts += [box(330, y - 10, 12, 12, colour=colour, strength=0.5), text(350, y, where, size=11)]
        parts.append(text(350, y + 15, formula, size=12, bold=True))
    return picture(WIDTH, 210, "An accuracy matrix of three tasks and the metrics computed from it", *parts)


def seeds() -> str:
    parts = [labelled(8, 66, 130, 34, "seeds=[0,1,2]", colour=GREY, size=13), arrow(142, 83, 176, 83)]
    for number in range(3):
        y = 12 + 50 * number
        parts += [box(180, y, 300, 40, colour=BLUE), text(190, y + 17, f"seed {number}", bold=True, size=12)]
        parts.append(text(190, y + 33, "its own weights, task order, episodes, draws", size=11))
        parts.append(arrow(484, y + 20, 516, y + 20))
    parts += [box(520, 12, 192, 140, colour=ORANGE), text(616, 36, "one run, one report", bold=True, size=12, anchor="middle")]
    parts.append(
        lines(
            616,
            62,
            ["every seed's value,", "mean, 95% interval", "(Student t over seeds,", "from three seeds on)"],
            anchor="middle",
        )
    )
    parts.append(text(330, 172, "computed together, as the axis R of every tensor", size=11, anchor="middle"))
    return picture(WIDTH, 182, "Three seeds computed together in one run", *parts)


def run_identity() -> str:
    parts = [box(8, 10, 190, 96, colour=BLUE), text(18, 30, "every setting that can", size=12, bold=True)]
    parts += [
        text(18, 46, "change the result", size=12, bold=True),
        lines(18, 68, ["algo, model, data, protocol,", "seeds, engine, version"], size=11),
    ]
    parts += [arrow(202, 58, 250, 58), text(226, 50, "hash", size=11, anchor="middle")]
    parts += [labelled(254, 40, 158, 36, "run id 7e026fd33f52", colour=ORANGE), arrow(416, 58, 450, 58)]
    parts += [box(454, 10, 258, 96, colour=GREEN), text(464, 30, "runs/split_glyphs/maml/7e026fd33f52", size=11, bold=True)]
    outcomes = ["finished: shown again at once", "interrupted: goes on where it was", "failed: tried again"]
    parts.append(lines(464, 52, outcomes, size=12, step=18))
    parts.append(text(8, 130, "Not in the id: logger, output_dir, rerun, progress, and where the data lie.", size=12))
    return picture(WIDTH, 140, "A run is its config: the settings give the id, the id gives the directory", *parts)


def source_and_stream() -> str:
    parts = [box(8, 34, 190, 104, colour=BLUE), text(18, 56, "source: what there is", bold=True, size=12)]
    parts.append(lines(18, 78, ["Omniglot: 50 alphabets,", "1,623 characters,", "20 drawings of each"], size=12))
    rows = (
        ("continual_meta", "10 tasks of whole alphabets; 5-way 1-shot episodes"),
        ("online", "10 tasks; training and test samples of every class"),
        ("meta_continual", "963 meta-train and 660 meta-test characters"),
    )
    for number, (protocol, words) in enumerate(rows):
        y = 8 + 56 * number
        parts += [arrow(202, 86, 230, 86) if number == 1 else "", box(286, y, 426, 46, colour=ORANGE)]
        parts += [text(296, y + 19, f"stream for {protocol}", bold=True, size=12), text(296, y + 36, words, size=12)]
    parts += ['<path d="M230 86 V31 H280 M230 86 H280 M230 86 V143 H280" fill="none" stroke="currentColor"/>']
    parts += [arrow(274, y, 284, y) for y in (31, 86, 143)]
    return picture(WIDTH, 178, "One source, a stream for every protocol", *parts)


PICTURES = (continual_meta, online, meta_continual, osaka, accuracy_matrix, seeds, run_identity, source_and_stream)


def main() -> None:
    for draw in PICTURES:
        (Path(__file__).parent / f"{draw.__name__}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
