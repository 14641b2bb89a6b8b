"""What the config and the summary of a run say of it."""

from __future__ import annotations

from metacl_run.core.protocol_kind import kind_of
from metacl_run.storage.marks import chance_level


def test_chance_is_known_for_episodes_and_not_for_samples_of_the_same_data() -> None:
    config = {"data": {"ways": 5, "shots": 1}}
    assert chance_level("continual_meta", config) == 0.2
    assert chance_level("online", config) is None
    assert chance_level("meta_continual", config) is None
    assert chance_level("continual_meta", {"data": {"num_tasks": 5}}) is None


def test_the_kind_of_a_run_does_not_follow_from_the_name_of_its_option() -> None:
    config = {"protocol": {"_target_": "metacl_run.protocols.meta_continual.protocol.MetaContinual"}}
    assert kind_of({"protocol": "my_sequences"}, config) == "meta_continual"
    assert kind_of({"protocol": "my_sequences", "protocol_kind": "online"}, config) == "online"
    assert kind_of({"protocol": "online"}, {}) == "online"
