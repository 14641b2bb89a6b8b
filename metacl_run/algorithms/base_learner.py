"""What every learner has, under whatever protocol it learns."""

from __future__ import annotations

import abc
from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

from metacl_run.core.types import Params, Pytree

if TYPE_CHECKING:
    from typing_extensions import Self


class BaseLearner(abc.ABC):
    """A learner. A leaf is a frozen keyword-only dataclass whose fields are its settings."""

    unused_settings: ClassVar[Collection[str]] = ()
    """Settings of a base that change nothing in this method: a run that is given one of them warns."""

    @abc.abstractmethod
    def learned_params(self, state: Pytree) -> Params:
        """Returns the parameters of the network that it has learned, from which another run may start.

        Args:
            state: at the end of the run, of one replicate or of several, leaves [R, ...].
        """

    def check_evaluation(self, trained: Self) -> None:  # noqa: B027
        """Refuses settings of an evaluation that what `trained` has learned makes void. Default: there are none.

        Raises:
            SettingError: naming the setting.
        """
