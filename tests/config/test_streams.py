"""Which stream a protocol gets of an option of the group `data`, and what is said where there is none that fits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from metacl_run.config.components import component_class
from metacl_run.config.compose import compose_job, single_experiment
from metacl_run.config.load import load
from metacl_run.config.option_files import OptionFiles
from metacl_run.config.streams import STREAM, build_stream, with_stream
from metacl_run.core.errors import ConfigError, DataError, UserError
from metacl_run.data.sources.sine_waves import SineWaves
from metacl_run.data.streams.class_samples import SplitClassSamples
from metacl_run.data.streams.function_episodes import FunctionEpisodes
from tests.support.point_sources import SplitPoints


def path_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__name__}"


WAVES = {"amplitude_low": 1.0, "amplitude_high": 2.0, "phase_low": 0.0, "phase_high": 1.0, "x_low": 0.0, "x_high": 1.0}
SECTIONS = {
    "continual_meta": {"_target_": path_of(FunctionEpisodes), "shots": 3, "queries": 2, "num_tasks": 1},
    "online": {"_target_": path_of(SplitClassSamples), "num_tasks": 1, "scenario": "class"},
}
NODE: dict[str, Any] = {"_target_": path_of(SineWaves), **WAVES, "streams": SECTIONS}


def build(kind: str = "continual_meta", **changes: Any) -> Any:
    return build_stream(with_stream({**NODE, **changes}, kind), kind, elsewhere=SECTIONS)


def test_settings_of_the_stream_stand_beside_those_of_the_source() -> None:
    node = with_stream({**NODE, "shots": 9}, "continual_meta")
    own = {"shots": 9, "queries": 2, "num_tasks": 1}  # the user's setting counts before that of the section
    assert node == {"_target_": path_of(SineWaves), STREAM: path_of(FunctionEpisodes), **WAVES, **own}
    assert build(shots=9) == FunctionEpisodes(source=SineWaves(**WAVES), **own)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("meta_continual", {}, r"data: SineWaves has no stream for protocol meta_continual; .* for: continual_meta, online"),
        (
            "continual_meta",
            {"scenario": "task"},
            "data.scenario=task: has no effect under protocol=.*; it is a setting of online",
        ),
        ("continual_meta", {"test_images": 5}, "data.test_images=5: is now called data.test_examples"),
        ("continual_meta", {"shot": 5}, r"data.shot=5: SineWaves has no such setting. Did you mean data.shots\?"),
        ("continual_meta", {STREAM: path_of(SplitClassSamples)}, "data.shots=3: SineWaves has no such setting"),
        ("continual_meta", {"source": 5}, "data.source=5: SineWaves has no such setting"),
        ("continual_meta", {"x_low": "a", "shots": 0}, r"data.x_low=a: .*\ndata.shots=0: must be at least 1"),
        ("continual_meta", {STREAM: "nowhere.X"}, r"data.streams.continual_meta._target_=nowhere.X: there is no module"),
    ],
)
def test_mistakes_are_one_message(kind: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(kind, **changes)


def test_a_setting_that_a_section_lacks_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        build("online")
    missing = ("tasks_from", "classes_per_task", "shuffled", "shift", "balance", "blur", "train_per_task", "test_per_task")
    assert str(caught.value).split("\n") == [f"data.{name}: is missing; SplitClassSamples needs it" for name in missing]


def test_a_stream_refuses_a_source_of_another_kind() -> None:
    node = {"_target_": path_of(SplitPoints), STREAM: path_of(FunctionEpisodes), "shots": 3, "queries": 2, "num_tasks": 1}
    message = r"^data.streams.continual_meta._target_=.*: FunctionEpisodes .* a FunctionFamily, which SplitPoints is not"
    with pytest.raises(ConfigError, match=message):
        build_stream(node, "continual_meta", elsewhere={})


# ------------------------------------------------------------------------------------------------ on the command line


def refusal(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        single_experiment(list(overrides), None)
    return str(caught.value)


@pytest.mark.parametrize("data", ["rotated_mnist", "split_mnist"])
def test_data_without_a_stream_for_the_protocol_say_what_fits(data: str) -> None:
    text = refusal("algo=maml", f"data={data}")
    assert f"data={data}: does not fit protocol=continual_meta; it has streams for online. " in text
    assert "Works with: banking77, cifar_fs, clinc150, domains, " in text
    assert "text_domains, text_file, tiered_imagenet. Algorithms for these data: a_gem, " in text


@pytest.mark.parametrize("algo", ["maml", "oml"])
def test_data_without_a_stream_say_which_options_read_the_same_files(algo: str) -> None:
    """Each of them composes with the settings that are named."""
    text = refusal(f"algo={algo}", "data=split_train_test_images", "data.root=flowers", "data.train_folder=learn")
    read_by = "data=image_folder data.root=flowers/learn or data=split_image_folder data.root=flowers/learn"
    assert f"; it has streams for online. Files of these data are read by {read_by}. Works with: " in text
    with pytest.raises(DataError, match=r"flowers/learn is not a folder"):
        single_experiment([f"algo={algo}", *read_by.split(" or ")[0].split(" ")], None)


def test_only_options_with_a_stream_for_the_protocol_are_named() -> None:
    text = refusal("algo=er", "data=listed_image_folder", "data.root=flowers")
    assert "are read by data=image_folder data.root=flowers or data=split_image_folder data.root=flowers. Works" in text
    assert "Files of these data" not in refusal("algo=continual_maml", "data=split_train_test_images")
    assert "Files of these data" not in refusal("algo=maml", "data=split_mnist")


def test_options_that_read_the_same_files_are_there_with_their_settings() -> None:
    """Of every source that ships: braces have settings of the source, the options and what they take exist."""
    files = OptionFiles()
    sources = {option.name: component_class(option.target, "data") for option in files.all("data")}
    named = {name: source.also_read_by for name, source in sources.items() if source.also_read_by}  # type: ignore[attr-defined]
    assert {"listed_image_folder", "mini_imagenet", "split_train_test_images"} <= set(named)
    for name, others in named.items():
        for other, setting in others.items():
            key, _, template = setting.partition("=")
            assert key.removeprefix("data.") in files.option("data", other).settings
            assert set(re.findall(r"{(\w+)}", template)) <= set(files.option("data", name).settings)


@pytest.mark.parametrize("data", ["omniglot", "domains"])
def test_few_shot_data_are_learned_online_too(data: str) -> None:
    single_experiment(["algo=er", f"data={data}"], None)


@pytest.mark.parametrize(
    ("data", "override", "message"),
    [
        ("split_mnist", "data.num_tasks=11", "num_tasks=11: must be at most the 10 classes there are"),
        (
            "split_mnist",
            "data.train_per_task=11264",
            "train_per_task=11264: must be null, or 2 (the classes of a task) to ",
        ),
        ("split_mnist", "data.image_size=4", "image_size=4: must be at least 8"),
        ("split_glyphs", "data.test_examples=20", "test_examples=20: must be less than the 20 examples of class script 1 char"),
        (
            "split_glyphs",
            "data.rotations=true",
            "rotations=true: has no effect under protocol=online; it is a setting of ",
        ),
        ("split_glyphs", "data.tasks_from=alphabets", "tasks_from=alphabets: must be one of scripts, characters"),
    ],
)
def test_what_a_stream_refuses_is_one_message(data: str, override: str, message: str) -> None:
    assert f"data.{message}" in refusal("algo=er", f"data={data}", "data.shuffled=true", override)


def test_missing_files_are_one_message(tmp_path: Path) -> None:
    for data, name in (("split_cifar100", "CIFAR100"), ("split_tinyimagenet", "Tiny ImageNet"), ("split_mnist", "MNIST")):
        options = ["algo=er", f"data={data}", f"data.root={tmp_path / 'nowhere'}", "data.download=false"]
        experiment = load(*compose_job([*options, f"output_dir={tmp_path}", "progress=none"]))
        message = rf"(?s)^{name} was not found, and data.download is false. Looked for:.*split_glyphs"
        with pytest.raises(DataError, match=message):
            experiment.data.load([0])
