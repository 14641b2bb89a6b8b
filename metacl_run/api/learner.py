"""A trained learner, for your own examples.

    learner = metacl_run.load("runs/omniglot/maml/1a2b3c4d5e6f").learner(seed=0)
    adapted = learner.adapt(images, ["a", "a", "b", "b"])
    adapted.predict("drawing.png")                          # ["b"]
    torch.save(adapted.module().state_dict(), "adapted.pt")
    adapted.module()(adapted.inputs("drawing.png"))         # what the network itself makes of it

Shapes: S support examples, N examples.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from metacl_run.api.inputs import Examples, as_inputs, is_numbers
from metacl_run.core.errors import ConfigError, DataError, shown
from metacl_run.protocols.predictor import Predictor, Task
from metacl_run.scoring.objectives import CLASSIFICATION, Objective

FEW = 5
"""Labels in a message."""
Labels: TypeAlias = Sequence[Any] | Tensor | np.ndarray
"""Labels of any kind, or targets of a regression."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Learner:
    """What one seed of a run has learned. Nothing is changed in place: `adapt` returns a new learner.

    Attributes:
        seed: of the run.
        input_shape: of one example, without the axis N.
        labels: the labels that `adapt` was given so far, by output; None if outputs have no labels from the user.
        classes: of a run under `online`, the name of the class of every output, None for an output without one: the seed may
            decide which output a class has. None where outputs stand for no classes, or for others in every task.
    """

    seed: int
    input_shape: tuple[int, ...]
    labels: tuple[Hashable, ...] | None = None
    classes: tuple[str | None, ...] | None = None
    _predictor: Predictor
    _source: Any
    _objective: Objective
    _dtype: torch.dtype
    _device: torch.device

    def adapt(self, support_x: Examples, support_y: Labels, rate: float | None = None) -> Learner:
        """Learns from labelled examples.

        A few-shot learner (MAML, Reptile ...) starts again from the meta-learned state and learns the support set. A learner of
        sequences (OML, ANML ...) learns the examples in the given order, one after another, and continues from what it has
        learned before: call `adapt` again for more.

        Args:
            support_x: [S, *input_shape] tensor or array (uint8 stands for numbers in [0, 1]), or S images or paths of images.
            support_y: S labels of any kind (numbers, names ...), or [S, dimensions] real targets of a regression.
            rate: learning rate of the inner loop, for a learner of sequences; None: the rate that the run chose.

        Raises:
            UserError: shapes do not fit, there are more classes than outputs, or the method does not adapt.
        """
        x = self._inputs(support_x, "support_x")
        if self._objective is CLASSIFICATION:
            y, labels = self._classes(support_y, len(x))
        else:
            y, labels = self._targets(support_y, len(x), "support_y"), None
        return replace(self, labels=labels, _predictor=self._predictor.learn(x, y, rate))

    def outputs(self, x: Examples, *, task: Task | None = None, together: bool = False) -> Tensor:
        """Computes [N, outputs]: logits of classes, or values of a regression; on the CPU.

        Args:
            x: [N, *input_shape] tensor or array, or images.
            task: which task the examples belong to, or N of them: 0 is the first task, which tables and figures call task 1.
                Only for task-incremental runs; without it, all outputs of all tasks compete.
            together: with batch norm, all examples share its statistics (transductive).

        Raises:
            UserError: the shape does not fit, or the learner must adapt first.
        """
        outputs = self._predictor.outputs(self._inputs(x, "x"), together=together, task=task).cpu()
        return outputs if self.labels is None else outputs[:, : len(self.labels)]

    def probabilities(self, x: Examples, *, task: Task | None = None, together: bool = False) -> Tensor:
        """Computes [N, classes], the softmax of `outputs`. Raises UserError as `outputs` does, and for a regression."""
        if self._objective is not CLASSIFICATION:
            raise ConfigError("probabilities: the run is a regression; outputs(x) gives its values")
        return self.outputs(x, task=task, together=together).softmax(-1)

    def predict(
        self, x: Examples, *, task: Task | None = None, together: bool = False, names: bool | None = None
    ) -> list[Any] | Tensor:
        """Predicts the label of each example, or values [N, dimensions] of a regression.

        Args:
            x: as in `outputs`.
            task: as in `outputs`.
            together: as in `outputs`.
            names: what stands for a class. None: a list of the labels that `adapt` was given; without any, for texts, images
                and paths a list of names from `classes`, and for tensors and arrays numbers of outputs, [N] int64; numbers
                also where outputs have no names. True: labels or names for tensors and arrays, too. False: numbers of outputs
                in any case. An output that stands for no class has the name None.

        Raises:
            UserError: as `outputs` does; names=True, and outputs have none.
        """
        outputs = self.outputs(x, task=task, together=together)
        if self._objective is not CLASSIFICATION:
            return outputs
        places, labels = outputs.argmax(-1), self.classes if self.labels is None else self.labels
        if names and labels is None:
            raise ConfigError(f"names={names}: the outputs of this run have no names; without it, predict gives their numbers")
        numbers_suffice = self.labels is None and is_numbers(x)
        if labels is None or names is False or (names is None and numbers_suffice):
            return places
        return [labels[place] for place in places.tolist()]

    def score(self, x: Examples, y: Labels, *, task: Task | None = None, together: bool = False) -> float:
        """Computes the mean score of predictions: the accuracy, or the mean squared error of a regression.

        Args:
            x: N examples, as in `outputs`.
            y: N labels as `adapt` was given; without any, names from `classes` or numbers of outputs. Of a regression, targets
                [N, dimensions]. A label that the learner does not know counts as a wrong prediction.
            task: as in `outputs`.
            together: as in `outputs`.

        Raises:
            UserError: as `outputs` does, where `y` has another length or shape, and where the learner knows none of its labels.
        """
        if self._objective is not CLASSIFICATION:
            outputs = self.outputs(x, task=task, together=together)
            return float(self._objective.score(outputs, self._targets(y, len(outputs), "y").cpu()).mean())
        places = self.outputs(x, task=task, together=together).argmax(-1).tolist()
        predictions = places if self.labels is None else [self.labels[place] for place in places]
        labels = _plain(y, len(predictions), "y")
        known: Sequence[Any] = range(self._predictor.num_outputs or 0) if self.labels is None else self.labels
        if self.labels is None and self.classes is not None and any(isinstance(label, str) for label in labels):
            known = [name for name in self.classes if name is not None]
            predictions = [self.classes[place] for place in places]
        if not set(labels) & set(known):
            listed = ", ".join(map(str, known[:FEW])) + (" ..." if len(known) > FEW else "")
            raise DataError(f"y: the learner knows none of its labels, such as {shown(labels[0])}; it knows {listed}")
        return sum(bool(prediction == label) for prediction, label in zip(predictions, labels, strict=True)) / len(labels)

    def inputs(self, x: Examples) -> Tensor:
        """Returns what the network sees of examples: [N, ...], what `module()` takes, on its device and of its dtype.

        Texts, images and paths are converted and encoded as those of the run were. Where the run scales its inputs
        (data.normalize=channels, which is the default for CIFAR and folders of images under `online`), they are scaled: give
        examples themselves, not what `inputs` has returned. Takes what `outputs` takes.

        Raises:
            UserError: the shape does not fit, or the network is a policy that acts in a situation, which an example describes.
        """
        return self._predictor.inputs(self._inputs(x, "x"))

    def features(self, x: Examples) -> Tensor:
        """Computes the inputs of the network's last layer, its `head`, [N, D]; on the CPU.

        Parameters are those of `module()`: `module().head(features(x))` are the outputs of `module()` for `inputs(x)`. With
        batch norm that has no running averages, all examples share its statistics. A network whose head was left out
        (prototypes) computes nothing else: its features are its outputs.

        Raises:
            UserError: as `inputs` does; the network has no layer of the name `head`.
        """
        return self._predictor.features(self._inputs(x, "x")).cpu()

    def module(self) -> nn.Module:
        """Returns the network as an ordinary module with the parameters of this learner, including adapted ones; a copy.

        It takes what `inputs(x)` returns: scaled numbers where the run scales its inputs (data.normalize=channels), as
        `outputs` and `predict` do internally. With raw examples its outputs would be wrong without an error. If a method does
        not predict with the outputs of the network but from them (prototypes, sums), the module is the network before that
        step.
        """
        module = copy.deepcopy(self._predictor.module).to(self._dtype)
        module.load_state_dict({name: value.detach().clone() for name, value in self._predictor.params.items()})
        return module

    def __repr__(self) -> str:
        labels = f", labels {list(self.labels)}" if self.labels is not None else ""
        return f"Learner(seed {self.seed}, {type(self._predictor.module).__name__}, inputs {list(self.input_shape)}{labels})"

    def _inputs(self, x: Examples, name: str) -> Tensor:
        inputs = as_inputs(x, name=name, source=self._source, input_shape=self.input_shape, dtype=self._dtype)
        return inputs.to(self._device)

    def _classes(self, labels: Labels, count: int) -> tuple[Tensor, tuple[Hashable, ...]]:
        """[S] outputs, and the labels by output: those met before, then new ones (sorted where they can be)."""
        plain = _plain(labels, count, "support_y")
        known = list(self.labels or ()) if self._predictor.learns_in_sequence else []
        new = list(dict.fromkeys(label for label in plain if label not in known))
        if not self._predictor.learns_in_sequence and len({type(label) for label in new}) == 1:
            new = sorted(new)
        every = (*known, *new)
        most = self._predictor.num_outputs
        if most is not None and len(every) > most:
            raise DataError(f"support_y: has {len(every)} classes; the network of this run has {most} outputs")
        places = {label: place for place, label in enumerate(every)}
        return torch.tensor([places[label] for label in plain], device=self._device), every

    def _targets(self, values: Labels, count: int, name: str) -> Tensor:
        targets = torch.as_tensor(values, dtype=self._dtype, device=self._device)
        dimensions = self._predictor.num_outputs
        if tuple(targets.shape) != (count, dimensions):
            raise DataError(f"{name}: has the shape {list(targets.shape)}; {count} targets are [{count}, {dimensions}]")
        return targets


def _plain(labels: Labels, count: int, name: str) -> list[Any]:
    """Labels as a list. Raises DataError where there are not `count`, or one is not a number or a name."""
    plain = labels.tolist() if isinstance(labels, (Tensor, np.ndarray)) else labels
    if not isinstance(plain, Iterable):
        raise DataError(f"{name}: must be a list of {count} labels, one for each example, not {shown(labels)}")
    plain = list(plain)
    if len(plain) != count:
        raise DataError(f"{name}: has {len(plain)} labels for {count} examples")
    for label in plain:
        if not isinstance(label, Hashable):
            raise DataError(f"{name}: a label must be a number or a name, not {shown(label)}; of one-hot labels take argmax(1)")
    return plain
