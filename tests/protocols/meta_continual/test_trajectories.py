"""What meta-training under `meta_continual` learns from."""

from __future__ import annotations

from collections.abc import Callable

from metacl_run.config.load import Experiment
from metacl_run.protocols.meta_continual.setup import SequenceSetup
from metacl_run.protocols.meta_continual.trajectories import draw_trajectories
from tests.support.runs import context_of
from tests.support.settings import FUNCTIONS, SEQUENCE_LEARNERS, SMALL_SEQUENCES


def setup_of(built: Experiment) -> SequenceSetup:
    return SequenceSetup.of(context_of(built), built.data, built.protocol.count_outputs(built.data))


def test_halves_draw_trajectories_and_what_to_remember_apart(experiment: Callable[..., Experiment]) -> None:
    built = experiment("algo=oml", *SEQUENCE_LEARNERS["oml"], "algo.halves=true", tiny=SMALL_SEQUENCES)
    setup = setup_of(built)
    for unit in range(4):
        trajectories = draw_trajectories(setup, unit, None)
        learned = trajectories.classes.flatten().tolist()
        assert 9 <= min(learned) <= max(learned) < 18
        assert trajectories.query_y[0, 0, -15:].max() < 9  # what is remembered comes last


def test_each_trajectory_draws_which_place_names_which_function(experiment: Callable[..., Experiment]) -> None:
    built = experiment("algo=oml", "algo.remember=0", "algo.redraw=false", "algo.meta_batch_size=2", tiny=FUNCTIONS)
    pool, setup, named = built.data.load([0]), setup_of(built), set()
    for unit in range(20):
        drawn = draw_trajectories(setup, unit, 4)
        for episode in range(2):
            places = drawn.x[0, episode, :, :, :4].argmax(-1).unflatten(0, (3, 2)).flatten(1)  # [functions, examples]
            assert (places == places[:, :1]).all()
            assert drawn.query_x[0, episode, :, :4].argmax(-1).view(3, 2).equal(places[:, :2])
            names = tuple(places[:, 0].tolist())
            assert len(set(names)) == 3
            named.add(names)
            x, y = drawn.query_x[0, episode, :, 4], drawn.query_y[0, episode, :, 0]
            own = pool.x[drawn.classes[0, episode].repeat_interleave(2)].squeeze(-1) == x.float().unsqueeze(1)
            assert pool.y[drawn.classes[0, episode].repeat_interleave(2)][own].squeeze(-1).equal(y.float())
    assert len(named) > 12  # of 24
