"""Options describe themselves: the words of their YAML files and the types of their classes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from metacl_run.config.compose import compose_job, experiment_of
from metacl_run.config.descriptions import attribute_docs, describe
from metacl_run.config.option_files import GROUPS_TO_CHOOSE, OptionFiles, first_sentence
from metacl_run.config.streams import with_stream
from metacl_run.core.errors import ConfigError, DataError

FILES = OptionFiles()
COMPONENTS = [(group, name) for group in GROUPS_TO_CHOOSE[:6] for name in FILES.names(group)]


@pytest.fixture
def user_folder(tmp_path: Path) -> Path:
    (tmp_path / "algo").mkdir()
    return tmp_path


@pytest.mark.parametrize(("group", "name"), COMPONENTS)
def test_every_setting_of_every_shipped_option_is_described(group: str, name: str) -> None:
    description = describe(group, name, FILES)
    assert description.summary
    assert description.doc or description.class_path is None
    for setting in (*description.settings, *(setting for stream in description.streams for setting in stream.settings)):
        assert setting.words.type, setting.key
        assert setting.comment, setting.key


@pytest.mark.parametrize(
    ("group", "name", "kind"),
    [
        ("algo", "anml", ""),
        ("algo", "sync_la_maml", ""),
        ("model", "conv4_image_small", ""),
        ("data", "many_permuted_mnist", "online"),
        ("data", "split_omniglot", "meta_continual"),
    ],
)
def test_the_values_are_those_that_hydra_composes(group: str, name: str, kind: str) -> None:
    described = describe(group, name, FILES)
    settings = [
        *described.settings,
        *(setting for stream in described.streams if stream.kind == kind for setting in stream.settings),
    ]
    values = {setting.key: OmegaConf.create(f"value: {setting.default}").value for setting in settings}
    node = compose_job([f"{group}={name}"])[0][group]
    composed = with_stream(OmegaConf.to_container(node, resolve=True), kind)
    assert values == {f"{group}.{key}": value for key, value in composed.items() if not key.startswith("_")}


@pytest.mark.parametrize("group", ["algo", "data", "model"])
def test_the_example_of_an_option_is_a_command_that_runs(group: str) -> None:
    for name in {*FILES.names(group)[::5], *(["resnet18_slim"] if group == "model" else [])}:
        command, *overrides = shlex.split(describe(group, name, FILES).example)
        assert command == "metacl-run"
        try:
            experiment = experiment_of(overrides)
        except DataError:  # its files are not here
            continue
        assert experiment.choices[group] == name


def test_what_an_option_fits_and_where_it_is_used() -> None:
    maml = describe("algo", "maml", FILES)
    assert maml.kinds == ("continual_meta",)
    assert {"sinusoid", "split_omniglot"} <= set(maml.fits)
    assert not {"rotated_digits", "incremental_sine"} & set(maml.fits)
    assert "omniglot_maml_5way1shot" in maml.experiments
    assert {"maml_omniglot", "maml_sinusoid"} <= set(maml.tables)
    assert "algo=" not in " ".join(describe("data", "split_glyphs", FILES).fits)
    assert describe("model", "oml", FILES).inputs == ("images of 84x84",)
    assert "vectors" in describe("model", "mlp_small", FILES).inputs


def test_a_bound_and_a_choice_are_said_in_words() -> None:
    words = {setting.key: setting.words for setting in describe("algo", "maml", FILES).settings}
    assert words["algo.inner_lr"].type == "a number, or null"
    assert words["algo.inner_lr"].bounds == "greater than 0"
    assert words["algo.inner_steps"].bounds == "from 0 to 1,000,000"
    assert words["algo.outer_momentum"].bounds == "at least 0 and less than 1"
    assert words["algo.plastic"].choices == ("all", "head")


def test_a_comment_of_several_lines_and_one_of_the_class() -> None:
    comments = {setting.key: setting.comment for setting in describe("protocol", "meta_continual", FILES).settings}
    assert comments["protocol.eval_split"].endswith("as the schedule takes), then used for nothing else")
    steps = next(setting for setting in describe("algo", "maml", FILES).settings if setting.key == "algo.inner_steps")
    assert steps.comment == "gradient steps on the support set while meta-learning; 0: joint training on the query sets"


def test_an_option_of_a_users_folder(user_folder: Path) -> None:
    head = "# @package _global_.algo\n# Cite: doe2030, roe2031\n# Mine (Doe et al. 2030). Second.\n"
    (user_folder / "algo" / "mine.yaml").write_text(f"{head}defaults:\n  - maml\ninner_lr: 0.5  # half\n")
    mine = describe("algo", "mine", OptionFiles(str(user_folder)))
    assert (mine.summary, mine.prose) == ("Mine (Doe et al. 2030).", "Mine (Doe et al. 2030). Second.")
    assert mine.cites == ("doe2030", "roe2031")
    assert mine.parents == ("maml",)
    inner_lr = next(setting for setting in mine.settings if setting.key == "algo.inner_lr")
    assert (inner_lr.default, inner_lr.option) == ("0.5", "mine")
    assert inner_lr.comment.startswith("for a mean loss: ")
    assert inner_lr.comment.endswith(". In mine: half")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("defaults: [mine]\n", "leads back to the file itself"),
        ("a: [\n", "cannot be read"),
        ("- a\n", "must have settings"),
    ],
)
def test_a_file_that_cannot_be_described(user_folder: Path, text: str, words: str) -> None:
    (user_folder / "algo" / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        OptionFiles(str(user_folder)).option("algo", "mine")


@pytest.mark.parametrize(("word", "name"), [("mamk", "maml"), ("der", "der_pp"), ("Er", "er")])
def test_the_nearest_option_is_named(word: str, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"algo={word}: there is no such option\. Did you mean {name}\?"):
        FILES.option("algo", word)


@pytest.mark.parametrize(
    ("prose", "first"),
    [
        ("MAML (Finn et al. 2017). Then more.", "MAML (Finn et al. 2017)."),
        ("No stop", "No stop"),
        ("At 0.5 it learns. It does.", "At 0.5 it learns."),
    ],
)
def test_the_first_sentence(prose: str, first: str) -> None:
    assert first_sentence(prose) == first


def test_attributes_of_a_docstring() -> None:
    class Base:
        """Base.

        Attributes:
            rate: of the base.
            low, high: a range that
                goes on.

        More.
        """

    class Leaf(Base):
        """Leaf.

        Attributes:
            rate: of the leaf.
        """

    assert attribute_docs(Leaf) == {"rate": "of the leaf", "low": "a range that goes on", "high": "a range that goes on"}
