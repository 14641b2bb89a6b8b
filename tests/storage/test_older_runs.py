"""What is filled in where a summary of an earlier version lacks it."""

from __future__ import annotations

from metacl_run.storage.older_runs import completed

OLD = {"protocol": "my_option"}


def test_chance_is_known_for_episodes_and_not_for_samples_of_the_same_data() -> None:
    config = {"data": {"ways": 5, "shots": 1}}
    assert completed({"protocol": "continual_meta"}, config)["chance"] == 0.2
    assert completed({"protocol": "online"}, config)["chance"] is None
    assert completed({"protocol": "meta_continual"}, config)["chance"] is None
    assert completed({"protocol": "continual_meta"}, {"data": {"num_tasks": 5}})["chance"] is None
    assert completed({"protocol": "continual_meta", "chance": None}, config)["chance"] is None  # what is written stands


def test_the_kind_of_a_run_does_not_follow_from_the_name_of_its_option() -> None:
    config = {"protocol": {"_target_": "metacl_run.protocols.meta_continual.protocol.MetaContinual"}}
    assert completed(OLD, config)["protocol_kind"] == "meta_continual"
    assert completed({**OLD, "protocol_kind": "online"}, config)["protocol_kind"] == "online"
    assert completed({"protocol": "online"}, {})["protocol_kind"] == "online"


def test_the_split_and_the_score_are_those_of_the_first_version() -> None:
    assert completed(OLD, {})["eval_split"] == "test"
    assert completed(OLD, {"protocol": {"eval_split": "validation"}})["eval_split"] == "validation"
    assert completed(OLD, {})["score"] == "accuracy"
