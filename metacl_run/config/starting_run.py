"""The run that another one starts from: `start_from=<run directory>`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metacl_run.config.components import build
from metacl_run.config.streams import build_stream
from metacl_run.core.errors import ConfigError, StorageError, UserError


@dataclass(frozen=True, kw_only=True)
class StartingRun:
    """A completed run, whose parameters another one starts with.

    Attributes:
        directory, run_id, algo, data: of the run.
        protocol: its protocol, a Protocol.
        origins: the data sets that it learned from; none where they are not known.
        config: its resolved config.
        test_origin: of its data: which test part they have, from which nothing is learned; None: they have none of their own.
        learned: by seed, the parameters of its network at the end.
    """

    directory: Path
    run_id: str
    algo: str
    data: str
    protocol: Any
    origins: frozenset[str]
    config: Mapping[str, Any]
    learned: Mapping[int, Mapping[str, Any]]
    test_origin: str | None = None

    @classmethod
    def read(cls, directory: Path, seeds: Sequence[int]) -> StartingRun:
        """Reads a run of which every one of `seeds` is to start a replicate.

        Raises:
            ConfigError: there is no such run, it has not completed, it lacks a seed, or its checkpoint is damaged.
        """
        from metacl_run.storage.completed_run import completed_run
        from metacl_run.storage.store import RunStore

        key = f"start_from={directory}"
        try:
            run = completed_run(directory)
            if run.summary["evaluation_of"] is not None:
                origin = run.summary["evaluation_of"]["directory"]
                raise StorageError(f"{directory}: is an evaluation, which learns nothing; start from the run, {origin}")
        except UserError as error:
            raise ConfigError(f"start_from={error}") from None
        if missing := [seed for seed in seeds if seed not in run.seeds]:
            raise ConfigError(
                f"{key}: every seed starts from the same seed of that run, which has seeds={run.seeds} and lacks {missing[0]}"
            )
        content, warnings = RunStore(directory).load_checkpoint(lambda _: None)
        if content is None:
            reason = warnings[0] if warnings else f"{directory} has no checkpoint"
            raise ConfigError(f"{key}: {reason}. rerun=true computes that run again")
        protocol = build(run.config["protocol"], "protocol")
        params = build(run.config["algo"], "algo").learned_params(protocol.learned(content["learner"]))
        of_seed = {seed: {name: leaf[place] for name, leaf in params.items()} for place, seed in enumerate(run.seeds)}
        stream = _stream(run.config, run.kind)
        return cls(
            directory=directory,
            run_id=str(run.summary["run_id"]),
            algo=str(run.summary["algo"]),
            data=str(run.summary["data"]),
            protocol=protocol,
            origins=frozenset() if stream is None else frozenset(stream.source.origins),
            test_origin=None if stream is None else stream.test_origin,
            config=run.config,
            learned={seed: of_seed[seed] for seed in seeds},
        )

    def model(self, inner: Any) -> Any:
        """The model `inner` of a run, starting from what this one has learned."""
        from metacl_run.models.learned_model import LearnedModel

        return LearnedModel(inner=inner, learned=self.learned, origin=str(self.directory))  # type: ignore[arg-type]

    def warning(
        self, data: Mapping[str, Any], protocol: Any, origins: frozenset[str], *, test_origin: str | None = None
    ) -> str | None:
        """What a reader must know where this run may have learned from what another is tested on; else None.

        Equal data, seeds and protocol divide the classes alike. Else the same data may have been divided otherwise.

        Args:
            data: the config of the other's data.
            protocol, origins, test_origin: of the other.
        """
        shared = sorted(origins & self.origins)
        if test_origin is not None and test_origin == self.test_origin and protocol.eval_split == "test":
            return None  # no run of such data learns from the test part
        alike = (
            protocol.kind == self.protocol.kind and data == self.config["data"] and protocol.division == self.protocol.division
        )
        if not shared or (alike and protocol.division is not None):
            return None
        if alike:
            return (
                f"start_from: run {self.run_id} ({self.algo}, {self.data}) learned from {', '.join(shared)} too, and under "
                f"protocol={protocol.kind} a run learns from all that its stream shows: what is predicted here may have been "
                "learned there"
            )
        return (
            f"start_from: run {self.run_id} ({self.algo}, {self.data}) learned from {', '.join(shared)} too, under other "
            "settings of data or protocol, which may divide the classes otherwise: what is tested here may have been learned "
            "there"
        )


def _stream(config: Mapping[str, Any], kind: str) -> Any:
    """The stream of a run's data; None where it can no longer be built."""
    try:
        return build_stream(config["data"], kind, elsewhere={})
    except UserError:
        return None
