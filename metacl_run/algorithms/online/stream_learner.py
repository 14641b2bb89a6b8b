"""The interface of a learner under protocol `online`.

An algorithm is settings plus pure functions of explicit state, written for ONE replicate. The replicate axis is added from
outside by `inner/engine.py`. It draws no random numbers and stores no samples: the protocol keeps the replay buffer, as numbers
of samples, draws from it, and passes the samples (`types.Observation`). `network.loss` and `network.objective.losses`
follow the data's objective, so that a method learns both classes and real targets. A method that only works with the logits of
classes raises ConfigError in `init` for any other `network.objective`. Start from er.py, or from der_pp.py for a custom loss.
No branch may depend on the value of a tensor (`if tensor:`), since all replicates are computed at once.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypedDict, TypeVar

from torch import Tensor

from metacl_run.algorithms.base_learner import BaseLearner
from metacl_run.core.bounds import Examples
from metacl_run.core.types import Metrics, Observation, Params, Samples
from metacl_run.models.network import Network


class StreamState(TypedDict):
    """The state of one replicate. A method with more state extends it.

    A plain dict of tensors at run time: a checkpoint, which is loaded with `weights_only`, may hold nothing else.
    """

    params: Params
    """The network predicts with them."""


State = TypeVar("State", bound=StreamState)
Buffer = Literal["reservoir", "balanced", "ring"]
"""Which samples a replay buffer keeps (protocols/online/buffer_places.py). "reservoir": every sample so far has the same
chance; "balanced": a reservoir that keeps the classes as even as possible (Chrysakis and Moens 2020); "ring": the latest ones
of every class of every task, an equal share for each (Chaudhry et al. 2019)."""


@dataclass(frozen=True, kw_only=True)
class ReplaySpec:
    """The replay buffer that a method needs, and the draws from it for every observation.

    Attributes:
        keep: "reservoir", "balanced", "ring": `capacity` of the samples so far, as `Buffer` says; "last": the last capacity //
            T samples of each past task; "seen": all data of the tasks so far, including the whole current task; "all": all data
            of all tasks; "exemplars": what the learner itself has chosen (exemplar_learner.py).
        capacity: samples in the buffer; 0: no buffer.
        draws: independent draws for each observation (G).
        size: samples in a draw (K), without replacement.
        by_task: draw t is from the samples of task t, instead of from the whole buffer. Draws for tasks that have not come yet
            are empty; the protocol may leave them out.
        uniforms: uniform random numbers for every sample of a batch (`Observation.uniform`), for a learner that does something
            at random. It draws none itself.
        past: draw only from the samples of past tasks. For "ring", where every task has its own places; "last" keeps no others.
    """

    keep: Buffer | Literal["last", "seen", "all", "exemplars"]
    capacity: int
    draws: int
    size: int
    by_task: bool = False
    uniforms: int = 0
    past: bool = False

    @property
    def has_places(self) -> bool:
        """Whether samples take places of the buffer one by one, as they come."""
        return self.keep in ("reservoir", "balanced", "ring")

    @property
    def by_class(self) -> bool:
        """Whether the class of a sample decides whether and where it enters."""
        return self.keep in ("balanced", "ring")


NO_REPLAY = ReplaySpec(keep="reservoir", capacity=0, draws=1, size=0)


@dataclass(frozen=True, kw_only=True)
class StreamLearner(BaseLearner, Generic[State]):
    """A learner whose unit of work is an observation of a small batch. Settings common to all:

    Attributes:
        batch_size: samples of the stream in an observation.
    """

    needs_task: ClassVar[bool] = False
    """Whether it can only predict if the task is known."""
    consolidation_setting: ClassVar[str | None] = None
    """The setting that says how many samples `end_task` needs; None: it needs none."""

    batch_size: Examples

    @property
    def needs_share(self) -> bool:
        """Whether it reads `Observation.share`. Default: it does not."""
        return False

    @abc.abstractmethod
    def replay_spec(self, num_tasks: int) -> ReplaySpec:
        """The replay buffer and the draws from it.

        Raises:
            SettingError: a setting does not fit the number of tasks.
        """

    @abc.abstractmethod
    def init(self, network: Network, params: Params, num_tasks: int) -> State:
        """Returns the state of one replicate before its first observation.

        Raises:
            ConfigError: the method cannot learn with this network or objective.
        """

    @abc.abstractmethod
    def observe(self, network: Network, state: State, observed: Observation) -> tuple[State, Metrics]:
        """Learns from one observation."""

    def predict(self, network: Network, state: State, x: Tensor, task: Tensor | None) -> Tensor:
        """Returns the outputs [N, outputs] for inputs [N, ...] of tasks [N], None if tasks are not known. Default: the outputs
        of the network with `params`."""
        return network(state["params"], x, task)

    def learned_params(self, state: State) -> Params:
        """As `BaseLearner` has it. Default: the parameters that predict."""
        params: Params = state["params"]
        return params

    @property
    def num_consolidation_samples(self) -> int:
        """Returns how many samples `end_task` needs; they are drawn at random from the task. Default: as many as the setting
        `consolidation_setting` says."""
        return 0 if self.consolidation_setting is None else int(getattr(self, self.consolidation_setting))

    def end_task(self, network: Network, state: State, samples: Samples) -> State:
        """Consolidates a past task, from `samples` [num_consolidation_samples] of it. Default: does nothing."""
        return state

    def rates(self, state: State) -> Params | None:
        """Returns the learned rate of every element of every parameter, for a method that learns them."""
        return None
