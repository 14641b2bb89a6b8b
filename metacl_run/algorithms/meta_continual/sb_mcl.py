"""SB-MCL: sequential Bayesian updates of a latent vector, between a meta-learned encoder and decoder (Lee et al. 2024, arXiv
2405.18758).

    metacl-run algo=sb_mcl data=incremental_sine

A vector z of D numbers holds all knowledge of a sequence. Its prior is normal with means m_0 and precisions p_0. The encoder
turns an example (x_i, y_i) into an observation of z with means m_i and precisions p_i, each dimension independently, so that

    p = p_0 + sum_i p_i,   m = (p_0 m_0 + sum_i p_i m_i) / p,   z ~ normal(m, 1 / p)

after the examples (section 4), and the decoder predicts y from x and z. Only two sums are kept, in float64: nothing is
forgotten, and the order does not matter. Encoder, decoder and prior are meta-learned on

    mean of (y - decoder(x, z))^2 over queries and dimensions
        + kl_weight / (N dimensions) * sum_d KL(normal(m_d, 1 / p_d), normal(0, 1))

where z is drawn as m + noise / sqrt(p), and N is the number of examples and queries of a trajectory. With the mean over all of
these it would be the bound on the evidence for a normal error of y with variance 1/2 (difference 3). Encoder and decoder are
two networks with the model's layers.

Differences from the paper and its code (soochan-lee/SB-MCL):
 1. z is drawn once for each function of a trajectory, not for each query.
 2. At meta-test, z is its mean (`map` in the code), not five draws whose predictions are averaged.
 3. The loss is on the queries only; the code also includes the learned examples.
 4. Inputs and targets enter the encoder directly; in the code, each first passes through another network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple, TypedDict

from annotated_types import Le
from torch import Tensor
from torch.func import grad_and_value

from metacl_run.algorithms.meta_continual.refuse_targets import refuse_classes
from metacl_run.algorithms.meta_continual.sequence_learner import SequenceLearner
from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.algorithms.meta_learner import Meta, Update, metrics_of
from metacl_run.core.bounds import NonNegative, Steps, Width
from metacl_run.core.types import Params, Pytree, Trajectory
from metacl_run.models.encoder_decoder import EncoderDecoder, EncoderDecoderModel
from metacl_run.models.network import Model, Network
from metacl_run.scoring.objectives import Objective


class LatentPrior(TypedDict):
    """Of the latent vector, [D] each."""

    mean: Tensor
    log_precision: Tensor


class SbMclMeta(Meta):
    """The parameters of encoder and decoder, and the prior."""

    prior: LatentPrior


class LatentPosterior(NamedTuple):
    """Of the latent vector, [D] each, in float64."""

    precision: Tensor
    """p."""
    moment: Tensor
    """p m."""

    def after(self, mean: Tensor, log_precision: Tensor) -> LatentPosterior:
        """Returns the posterior after further observations, [N, D] each."""
        precision = log_precision.double().exp()
        return LatentPosterior(self.precision + precision.sum(0), self.moment + (precision * mean.double()).sum(0))

    @property
    def mean(self) -> Tensor:
        """[D] m."""
        return self.moment / self.precision

    def divergence(self) -> Tensor:
        """KL from the standard normal distribution, summed over dimensions."""
        return (1 / self.precision + self.mean.square() - 1 + self.precision.log()).sum() / 2


@dataclass(frozen=True)
class LatentLearner(SequenceLearner):
    """Adds the observation that the encoder makes of every example to the posterior; decodes with its mean.

    Attributes:
        latent: D.
    """

    latent: int

    def fresh_width(self, network: Network, params: Params) -> int:
        return self.latent

    def prepare(self, network: Network, meta: Pytree, x: Tensor) -> Tensor:
        return x

    def begin(self, network: Network, meta: Pytree, fresh: Tensor, prepared: Tensor) -> LatentPosterior:
        """The prior."""
        precision = meta["prior"]["log_precision"].double().exp()
        return LatentPosterior(precision, precision * meta["prior"]["mean"].double())

    def learn(
        self, network: Network, meta: Pytree, fast: LatentPosterior, prepared: Tensor, y: Tensor, rate: Tensor
    ) -> LatentPosterior:
        return fast.after(*network.part(_module(network).encoding())(meta["params"], (prepared, y)))

    def predict(self, network: Network, meta: Pytree, fast: LatentPosterior, prepared: Tensor) -> Tensor:
        return self.decoded(network, meta, prepared, fast.mean.to(prepared.dtype).expand(len(prepared), -1))

    def decoded(self, network: Network, meta: Pytree, x: Tensor, z: Tensor) -> Tensor:
        """Outputs [N, dimensions] for inputs [N, ...] and latent vectors [N, D]."""
        outputs: Tensor = network.part(_module(network).decoding())(meta["params"], (x, z))
        return outputs


@dataclass(frozen=True, kw_only=True)
class SbMcl(TrajectoryLearner):
    """Sequential Bayes on a latent vector.

    Attributes:
        latent: D.
        kl_weight: weight of the divergence; 1: the bound on the evidence.
    """

    class_steps: Steps
    latent: Annotated[Width, Le(10**5)]
    kl_weight: NonNegative

    @property
    def sequence_learner(self) -> LatentLearner:
        return LatentLearner(self.latent)

    def model_of(self, model: Model, objective: Objective) -> Model:
        refuse_classes("SB-MCL", objective)
        return EncoderDecoderModel(inner=model, latent=self.latent)

    def init(self, network: Network, params: Params) -> SbMclMeta:
        """The prior starts as the standard normal distribution."""
        zeros = next(iter(params.values())).new_zeros(self.latent)
        return {"params": params, "prior": {"mean": zeros, "log_precision": zeros.clone()}}

    def episode_update(self, network: Network, meta: Pytree, carry: Pytree, episode: Trajectory) -> Update:
        learner, learned = self.sequence_learner, episode.x.flatten(0, 1)
        queries, dimensions = episode.query_y.shape
        noise = episode.fresh.repeat_interleave(queries // len(episode.fresh), 0)

        def objective(meta: SbMclMeta) -> tuple[Tensor, Tensor]:
            prior = learner.begin(network, meta, episode.fresh, learned)
            posterior = learner.learn(network, meta, prior, learned, episode.y.flatten(0, 1), episode.fresh.new_zeros(()))
            z = (posterior.mean + noise / posterior.precision.sqrt()).to(noise.dtype)
            outputs = learner.decoded(network, meta, episode.query_x, z)
            divergence = posterior.divergence().to(outputs.dtype) / ((len(learned) + queries) * dimensions)
            return network.objective.loss(outputs, episode.query_y) + self.kl_weight * divergence, outputs

        gradient, (loss, outputs) = grad_and_value(objective, has_aux=True)(meta)
        return Update(gradient, carry, metrics_of(network, loss, outputs, episode.query_y))


def _module(network: Network) -> EncoderDecoder:
    assert isinstance(network.module, EncoderDecoder)
    return network.module
