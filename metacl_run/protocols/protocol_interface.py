"""The interface of a protocol: which learners and data fit it, what it refuses, how it runs."""

from __future__ import annotations

import abc
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, ClassVar, Generic, Literal

from metacl_run.core.protocol_kind import ProtocolKind
from metacl_run.core.types import Pytree
from metacl_run.models.network import Model
from metacl_run.protocols.predictor import Predictor
from metacl_run.protocols.protocol_result import ProtocolResult
from metacl_run.protocols.run_context import D, L, RunContext, S
from metacl_run.runtime.device import Gpu

if TYPE_CHECKING:
    from typing_extensions import Self

EvalSplit = Literal["test", "validation"]
"""What a run is evaluated on. Under "validation" no test data are ever read: for choosing settings."""


class Protocol(abc.ABC, Generic[L, D, S]):
    """A protocol component, for learners L and data D that load as S.

    `learner` and `data` are L and D at run time; the config refuses an algorithm or data of another interface.
    """

    kind: ClassVar[ProtocolKind]
    learner: ClassVar[type]
    data: ClassVar[type]
    unit_name: ClassVar[str]
    memory_remedy: ClassVar[str]
    """What needs less memory, as a sentence with full keys."""
    eval_split: EvalSplit
    """A setting of every protocol."""
    looks_inside: ClassVar[bool] = True
    """Whether the setting `insight` has an effect."""

    @property
    def division(self) -> tuple[object, ...] | None:
        """The settings that decide, for given data, which examples are held out; None: a run learns from what it is tested on.

        Runs of one protocol and of equal data with equal divisions hold out the same examples.
        """
        return (self.eval_split,)

    def unused_settings(self, algo: L) -> Collection[str]:
        """Settings of the protocol that change nothing for an algorithm: a run that is given one of them warns."""
        return ()

    @abc.abstractmethod
    def check(self, algo: L, model: Model, data: D) -> None:
        """Refuses what does not fit together, before anything is loaded. Raises ConfigError or DataError."""

    @abc.abstractmethod
    def count_units(self, algo: L, data: D) -> int:
        """Units of work in a whole run, without those of a meta-test."""

    def count_outputs_of_run(self, data: D) -> int | None:
        """Outputs of the network of a run, where settings that an evaluation may change decide them too; None: they do not."""
        return None

    @abc.abstractmethod
    def load(self, data: D, seeds: Sequence[int]) -> S:
        """Reads the data, before there is a run directory. Raises DataError."""

    @abc.abstractmethod
    def check_ranks(self, algo: L, ranks: int) -> None:
        """Refuses more than one process where they would have nothing to share. Raises ConfigError."""

    @abc.abstractmethod
    def run(self, context: RunContext[L, D, S]) -> ProtocolResult:
        """Runs from the last checkpoint, or from the start, to the end or until a stop is requested."""

    @abc.abstractmethod
    def check_evaluation(self, trained: Self) -> None:
        """Refuses to evaluate what the protocol `trained` has learned on examples that it learned from.

        Raises:
            SettingError: naming the setting that would change which examples are held out.
        """

    def learned(self, learner: Pytree) -> Pytree:
        """The state of the algorithm in that of the learner, leaves [R, ...]."""
        return learner

    @abc.abstractmethod
    def evaluate(self, context: RunContext[L, D, S], learner: Pytree) -> ProtocolResult:
        """Evaluates a learner that has finished learning; as `run`, without training.

        Args:
            context: of the evaluation, whose data and settings may differ from those that were learned with.
            learner: its state at the end of its run, leaves [R, ...].

        Raises:
            ConfigError: the learner does not fit the settings.
        """

    @abc.abstractmethod
    def predictor(self, algo: L, model: Model, data: D, gpu: Gpu, learner: Pytree, run_outputs: int | None = None) -> Predictor:
        """The predictor of a learner, which is the state of one replicate. Reads no data.

        Args:
            run_outputs: `count_outputs_of_run` of the run that the learner is of.
        """
