"""Which runs are seeds of one thing, and which things stand in one table.

Runs that differ in nothing but their seeds (and in what cannot change a result) are one *configuration*. Configurations stand
in one *section* when their numbers can be set beside each other: the same data with the same settings, protocol, score and
`MEASURED`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metacl_run.comparison.entries import ONE_WAY, TABLE_SIZE, VERSION, Entry
from metacl_run.core.errors import UserError, nearest, shown
from metacl_run.storage.marks import TRANSDUCTIVE_MARK

MEASURED = ("protocol.eval_split", "protocol.schedule", "protocol.lr_selection", ONE_WAY, TABLE_SIZE, VERSION)
"""What says on what the reported numbers are measured, by which version, and whether they are a trial of a paper's table."""
UNEVENTFUL = ("protocol.log_every", "protocol.eval_every", "protocol.rows_every")
"""Numbers of a protocol that need not stand in every label where they differ."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Every seed of one config.

    Attributes:
        settings: by full keys.
        where: by seed, in increasing order, the run that has it and its place among that run's seeds.
        notes: what a reader should know of how its seeds came together.
    """

    settings: dict[str, Any]
    where: dict[int, tuple[Entry, int]]
    notes: tuple[str, ...]

    @property
    def algo(self) -> str:
        return str(self.settings["algo"])

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.where)

    @property
    def diverged(self) -> tuple[int, ...]:
        return tuple(seed for seed, (entry, _) in self.where.items() if entry.status == "diverged")

    @property
    def entries(self) -> list[Entry]:
        return list({entry.directory: entry for entry, _ in self.where.values()}.values())

    def values(self, metric: str) -> np.ndarray:
        """[seeds], NaN where a seed did not reach it."""
        missing = (np.nan,)
        return np.array([entry.metrics.get(metric, missing * len(entry.seeds))[i] for entry, i in self.where.values()])


@dataclass(frozen=True, kw_only=True)
class Section:
    """Configurations whose numbers can be compared, with labels that tell them apart.

    Attributes:
        title: "split_glyphs, continual_meta" and what tells it from sections of the same data and protocol.
        score: "accuracy" or "mse".
        kind: of the protocol.
        shared: what is the same for all and defines the section, by full keys.
        configurations: by label, "maml algo.replay=200".
        others: by label, settings that differ within the section and do not stand in its label.
        metrics: that any of them has.
    """

    title: str
    score: str
    kind: str
    shared: dict[str, Any]
    configurations: dict[str, Configuration]
    others: dict[str, dict[str, Any]]
    metrics: tuple[str, ...]


def configurations(entries: Iterable[Entry]) -> list[Configuration]:
    """Entries in the order of their directories; a seed that comes twice is taken from the first."""
    by_identity: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_identity[entry.identity].append(entry)
    return [_joined(same) for same in by_identity.values()]


def _joined(entries: Sequence[Entry]) -> Configuration:
    where: dict[int, tuple[Entry, int]] = {}
    notes = []
    for entry in entries:
        for place, seed in enumerate(entry.seeds):
            if seed not in where:
                where[seed] = entry, place
                continue
            kept, its_place = where[seed]
            names = entry.metrics.keys() | kept.metrics.keys()
            equal = all(
                name in entry.metrics
                and name in kept.metrics
                and np.array_equal(entry.metrics[name][place], kept.metrics[name][its_place], equal_nan=True)
                for name in names
            )
            numbers = "with the same numbers" if equal else "with other numbers"
            notes.append(f"{entry.directory}: left out for seed {seed}, which {kept.directory} has too, {numbers}")
    return Configuration(settings=entries[0].settings, where=dict(sorted(where.items())), notes=tuple(notes))


def check_keys(found: Sequence[Configuration], by: Sequence[str]) -> None:
    """Refuses a setting that no run has.

    Raises:
        UserError: the key and the nearest one.
    """
    known = sorted({key for each in found for key in each.settings})
    unknown = [f"--by {key}: no run has such a setting.{nearest(key, known)}" for key in by if key not in known]
    if unknown:
        raise UserError("\n".join(unknown))


def sections(found: Sequence[Configuration], by: Sequence[str] = ()) -> list[Section]:
    """In the order of their titles. `by`: full keys of further settings whose values part sections."""
    parted: dict[str, list[Configuration]] = defaultdict(list)
    for each in found:
        parted[_text([_score(each), _defining(each.settings, by)])].append(each)
    groups = sorted(parted.values(), key=lambda group: _text(_defining(group[0].settings, by)))
    alike: dict[tuple[str, str], list[list[Configuration]]] = defaultdict(list)
    for group in groups:
        alike[group[0].settings["data"], group[0].settings["protocol"]].append(group)
    made = []
    for (data, protocol), some in sorted(alike.items()):
        defining = [_defining(group[0].settings, by) for group in some]
        keys = telling(defining, _keys(defining))
        keys += [key for key in by if key not in keys]
        scores = {_score(group[0]) for group in some}
        for group, settings in zip(some, defining, strict=True):
            words = [data, protocol, *_title(settings, keys), *([_score(group[0])] if len(scores) > 1 else [])]
            made.append(_section(", ".join(words), group, settings))
    return made


def _title(settings: dict[str, Any], keys: Iterable[str]) -> list[str]:
    said = [assignment(key, settings.get(key)) for key in keys if key not in ("data", "protocol", TABLE_SIZE)]
    if settings.get("protocol.eval_split") == "validation":  # always: validation numbers are no test numbers
        said = ["on validation classes", *(text for text in said if not text.startswith("protocol.eval_split"))]
    if settings.get("protocol.lr_selection") == "test":
        said = ["learning rate tuned on test", *(text for text in said if not text.startswith("protocol.lr_selection"))]
    if settings.get(ONE_WAY):
        said = [TRANSDUCTIVE_MARK, *(text for text in said if not text.startswith(ONE_WAY))]
    if settings.get(TABLE_SIZE):
        said = [f"{settings[TABLE_SIZE]} size of a paper's table", *said]
    return [text for text in said if not text.startswith(f"{ONE_WAY}=")]


def _score(configuration: Configuration) -> str:
    return configuration.entries[0].score


def _defining(settings: dict[str, Any], by: Iterable[str]) -> dict[str, Any]:
    kept = {key: settings[key] for key in sorted(settings) if key in ("data", "protocol", *MEASURED) or key.startswith("data.")}
    return kept | {key: settings.get(key) for key in by}


def _section(title: str, group: Sequence[Configuration], shared: dict[str, Any]) -> Section:
    labels, others = _labelled(group)
    order = sorted(range(len(group)), key=lambda i: labels[i])
    names = dict.fromkeys(name for each in group for entry in each.entries for name in entry.metrics)
    return Section(
        title=title,
        score=_score(group[0]),
        kind=group[0].entries[0].kind,
        shared={key: value for key, value in shared.items() if not key.endswith("_target_")},
        configurations={labels[i]: group[i] for i in order},
        others={labels[i]: others[i] for i in order},
        metrics=tuple(names),
    )


# ------------------------------------------------------------------------------------------------------------------ labels


def _labelled(group: Sequence[Configuration]) -> tuple[list[str], list[dict[str, Any]]]:
    """The shortest labels, and by their side every other setting that differs.

    A label has the algorithm; any number of the protocol (a length, a number of episodes) in which rows of the section differ,
    so that no reduced run goes for a full one; and as few further settings as tell apart what has the same algorithm.
    """
    outside = _differing([each.settings for each in group], lambda key: not key.startswith("algo"))
    lengths = [key for key in outside if _is_length(key, group)]
    by_algo: dict[str, list[int]] = defaultdict(list)
    for i, each in enumerate(group):
        by_algo[each.algo].append(i)
    labels, others = [""] * len(group), [dict[str, Any]() for _ in group]
    for algo, places in by_algo.items():
        some = [group[i].settings for i in places]
        own = _differing(some, lambda key: key.startswith("algo.") or key in outside)
        keys = lengths + [key for key in telling(some, own, given=lengths) if key not in lengths]
        for i in places:
            settings = group[i].settings
            labels[i] = " ".join([algo, *(assignment(key, settings.get(key)) for key in keys)])
            rest = [key for key in dict.fromkeys([*own, *outside]) if key not in keys]
            others[i] = {key: settings.get(key) for key in rest}
    return labels, others


def _is_length(key: str, group: Sequence[Configuration]) -> bool:
    values = [each.settings.get(key) for each in group]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return key.startswith("protocol.") and numeric and key not in UNEVENTFUL


def _differing(some: Sequence[dict[str, Any]], wanted: Callable[[str], bool]) -> list[str]:
    """Keys that do not have the same value everywhere and do not merely follow a choice, as model.channels does model=conv4."""
    keys = [key for key in _keys(some) if wanted(key)]
    return [key for key in keys if "." not in key or not _follows(some, key, key.split(".")[0])]


def _keys(some: Sequence[dict[str, Any]]) -> list[str]:
    """Keys that do not have the same value everywhere: first the choices, then by name."""
    every = dict.fromkeys(key for settings in some for key in settings)
    differing = [key for key in every if _differs([settings.get(key) for settings in some])]
    return sorted(differing, key=lambda key: ("." in key, key))


def _differs(values: Sequence[Any]) -> bool:
    first = values[0]
    return any(value != first or type(value) is not type(first) for value in values)  # true is not 1


def _follows(some: Sequence[dict[str, Any]], key: str, choice: str) -> bool:
    """Whether the value of a choice decides that of a key."""
    decided: dict[str, str] = {}
    return all(
        decided.setdefault(_text(settings.get(choice)), value) == value
        for settings in some
        for value in [_text(settings.get(key))]
    )


def telling(some: Sequence[dict[str, Any]], keys: Sequence[str], given: Sequence[str] = ()) -> list[str]:
    """Few of the keys that, with those given, tell apart all that `keys` can: each time the one that parts most."""

    def parts(chosen: Sequence[str]) -> int:
        return len({tuple(_text(settings.get(key)) for key in [*given, *chosen]) for settings in some})

    chosen: list[str] = []
    most = parts(keys)
    while parts(chosen) < most:
        chosen.append(max((key for key in keys if key not in chosen), key=lambda key: parts([*chosen, key])))
    return [key for key in keys if key in chosen]


def assignment(key: str, value: Any) -> str:
    """As one would type it: data.shift=permute, protocol.rates=[0.1,0.01]."""
    if isinstance(value, list):
        return f"{key}=[{','.join(shown(each) for each in value)}]"
    return f"{key}={shown(value)}"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
