"""What a config says of chance."""

from __future__ import annotations

from metacl_run.marks import chance_level


def test_chance_is_known_for_episodes_and_not_for_samples_of_the_same_data() -> None:
    data = {"ways": 5, "shots": 1}
    assert chance_level({"data": data, "protocol": {"eval_episodes": 100}}) == 0.2
    assert chance_level({"data": data, "protocol": {"probe_samples": None}}) is None
    assert chance_level({"data": data, "protocol": {"schedule": [10, 50]}}) is None
    assert chance_level({"data": {"num_tasks": 5}, "protocol": {"eval_episodes": 100}}) is None
