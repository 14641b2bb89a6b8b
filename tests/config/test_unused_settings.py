"""Settings of a command that change nothing: a warning and no error, since a sweep or search may choose the other setting."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from metacl_run.config.load import Experiment


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        (["algo=maml", "algo.replay_share=0.3"], "algo.replay_share=0.3: has no effect with algo.replay=0"),
        (["algo=maml", "algo.replay_share=0.3", "algo.replay=20"], ""),
        (["algo=maml", "algo.replay_share=0.3", "algo.replay=null"], ""),
        (["algo=maml"], ""),
        (["algo=reptile", "algo.carry_moments=true", "algo.inner_optimizer=sgd"], "with algo.inner_optimizer=sgd"),
        (["algo=finetune", "algo.outer_lr=1"], "algo.outer_lr=1: has no effect with algo=finetune"),
        (["algo=finetune", "algo.inner_lr=1"], ""),
        (["algo=scratch", "algo.remember=3"], "algo.remember=3: has no effect with algo=scratch"),
        (["algo=scratch", "protocol.updates=3"], "protocol.updates=3: has no effect with algo=scratch"),
        (["algo=scratch", "protocol.keep=best"], "protocol.keep=best: has no effect with algo=scratch"),
        (["algo=scratch", "protocol.eval_every=3"], "protocol.eval_every=3: has no effect with algo=scratch"),
        (["algo=oml", "protocol.updates=3"], ""),
        (["algo=oml", "protocol.keep=best"], ""),
        (["algo=oml", "+algo.test_ridge=3"], "+algo.test_ridge=3: has no effect with algo.test_head=sgd"),
        (["algo=oml", "algo.test_ridge=3", "algo.test_head=ridge"], ""),
        (["algo=oml", "protocol.lr_selection=test", "protocol.selection_orders=9"], "with protocol.lr_selection=test"),
        (["algo=oml", "protocol.rates=[0.1]"], ""),
        (["algo=gemcl", "protocol.rates=[0.1]"], "protocol.rates=[0.1]: has no effect with algo=gemcl"),
        (["algo=er", "algo.lr_drops=[0.5]"], "algo.lr_drops=[0.5]: has no effect with algo.lr_schedule=constant"),
        (["algo=er", "algo.lr_drop_factor=0.1", "algo.lr_schedule=cosine"], "has no effect with algo.lr_schedule=cosine"),
        (["algo=er", "algo.lr_drops=[0.5]", "algo.lr_drop_factor=0.1", "algo.lr_schedule=steps"], ""),
        (["algo=er", "protocol.probe_samples=9"], "has no effect with protocol.eval_every=0"),
        (["algo=er", "protocol.probe_samples=9", "protocol.eval_every=5"], ""),
        (["algo=maml_osaka", "algo.inner_steps=2", "algo.pretrain_updates=0"], "with algo.pretrain_updates=0"),
        (["algo=bgd", "algo.first_order=true"], "has no effect with algo.stream_inner_steps=0"),
        (["algo=metabgd", "algo.first_order=true"], ""),
        (["algo=grbal", "data=planar_dynamics", "data.mpc_steps=3"], "has no effect with data.mpc=false"),
    ],
)
def test_a_setting_that_changes_nothing_is_a_warning(
    experiment: Callable[..., Experiment], words: list[str], warning: str
) -> None:
    warnings = experiment(*words, tiny=[]).warnings
    assert len(warnings) == bool(warning)
    assert not warning or warnings[0].endswith(warning)
