from pathlib import Path

from metacl_run.storage.run_place import output_dir_of, run_name

RUN = Path("/home/me/runs/omniglot/maml/0123456789ab")


def test_a_run_is_named_by_data_algorithm_and_id():
    assert run_name(RUN) == "omniglot/maml/0123456789ab"


def test_an_evaluation_lies_in_the_output_dir_of_its_run():
    assert output_dir_of(RUN) == Path("/home/me/runs")
    assert output_dir_of(RUN / "evaluations" / "ba9876543210") == Path("/home/me/runs")


def test_a_run_that_was_copied_elsewhere_has_some_folder():
    assert output_dir_of(Path("/run")) == Path("/")
