"""What a user reads after a mistake, word for word where the words matter; and what names a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import yaml

from metacl_run.algorithms.continual_meta.episode_learner import EpisodeLearner
from metacl_run.cli import command
from metacl_run.config.components import component_class, config_dir
from metacl_run.config.compose import compose_job, expand, single_experiment
from metacl_run.config.conversion import convert
from metacl_run.config.load import Experiment, load
from metacl_run.config.option_files import OptionFiles
from metacl_run.config.options import options_that_are
from metacl_run.config.user_folder import check_folder
from metacl_run.core.errors import ConfigError, UserError
from metacl_run.inner.engine import Engine
from tests.support.composing import experiment_of
from tests.support.extras import marks_of

MISTAKES = [
    ("algo=mamll", "algo=mamll: there is no such option. Did you mean maml? Options: a_gem, alpaca, anil, "),
    ("algo.inner_lrr=3", "algo.inner_lrr=3: Maml has no such setting. Did you mean algo.inner_lr?"),
    ("+algo.foo=1", "algo.foo=1: Maml has no such setting."),
    ("sed=1", "sed=1: there is no such setting. Did you mean seeds?"),
    ("seeds=abc", "seeds=abc: must be a list, each entry a whole number"),
    ("seeds=[0,0]", "seeds=[0, 0]: must be different whole numbers"),
    ("algo.inner_steps=1.5", "algo.inner_steps=1.5: must be a whole number"),
    ("algo.inner_lr=fast", "algo.inner_lr=fast: must be a number"),
    ("algo.first_order=1", "algo.first_order=1: must be true or false"),
    ("algo.inner_lr=null", "algo.rate_low=null: must be a number with inner_lr=null"),
    ("algo.rate_low=0.1", "algo.rate_low=0.1: must be null with inner_lr=0.4: no rates are learned"),
    ("algo.inner_lr=-1", "algo.inner_lr=-1: must be greater than 0"),
    ("algo.plastic=heads", "algo.plastic=heads: must be one of all, head. Did you mean head?"),
    ("algo.clip_norm=x", "algo.clip_norm=x: must be a number, or null"),
    ("model.blocks=9", "model.blocks=9: is too many for 28x28 images"),
    ("data.ways=600", "data.ways=600: "),
    ("data.shots=30", "data.shots=30: "),
    ("data.num_tasks=0", "data.num_tasks=0: "),
    ("data.num_tasks=500", "data.num_tasks=500: must be at most the 10 scripts"),
    ("algo.replay=3", "algo.replay=3: keeps 0 classes of each of 4 earlier tasks, but an episode needs data.ways=5."),
    (["data=sinusoid", "data.num_tasks=3", "algo.replay=5"], "algo.replay=5: keeps classes, and FunctionEpisodes has none"),
    (["data=sinusoid", "algo=protonet"], "algo: ProtoNet learns classes, but the data have real targets. Use algo=maml"),
    (
        ["data=sinusoid", "model=conv4"],
        "model: Conv4 takes images, but the data's inputs have the shape [1]. Use model=mlp_small",
    ),
    (["data=sinusoid", "model=resnet12"], "model: ResNet12 takes images"),
    (["data=sinusoid", "data.ways=5"], "data.ways=5: SineWaves has no such setting."),
    (["data=sinusoid", "+data.root=/x"], "data.root=/x: SineWaves has no such setting. It looks for no files there."),
    (["data=sinusoid", "algo=la_maml"], "data=sinusoid: does not fit protocol=online"),
    ("algo.train_queries=0", "algo.train_queries=0: must be at least 1"),
    ("gpu.engine=cuda_graph", "gpu.engine=cuda_graph: needs CUDA"),
    ("gpu=cuda", "gpu.device=cuda: there is no CUDA device here"),
    (["gpu=cpu", "gpu.precision=tf32"], "gpu.precision=tf32: needs CUDA; on the CPU use float32"),
    (["algo=er", "lr=0.1"], "lr=0.1: there is no such setting. Did you mean algo.lr?"),
    (["algo=maml", "lr=0.1"], "lr=0.1: there is no such setting. Did you mean algo.inner_lr or algo.outer_lr?"),
    ("seed=3", "seed=3: there is no such setting. Did you mean seeds?"),
    ("style=paper", "style=paper: there is no such setting. Did you mean figures.style?"),
    (["algo=maml", "inner_lrr=0.1"], "inner_lrr=0.1: there is no such setting. Did you mean algo.inner_lr?"),
    (["algo=er", "protocol=continual_meta"], "algo=er: does not fit protocol=continual_meta, which needs an EpisodeLearner"),
    ("+algo=er", "algo: has an option already; choose another with algo=OPTION, once and without +"),
    (["algo=er", "+algo=er"], "algo: has an option already"),
    ("gpu.chunk=0", "gpu.chunk=0: must be at least 1, or null"),
    ("gpu.memory_gb=-1", "gpu.memory_gb=-1: must be greater than 0, or null"),
    ("gpu.device=gpu", "gpu.device=gpu: must be one of auto, cpu, cuda."),
    ("protocol.eval_split=train", "protocol.eval_split=train: must be one of test, validation."),
    ("insight=deep", "insight=deep: must be one of none, light, full."),
    ("progress=verbose", "progress=verbose: must be one of auto, rich, plain, none."),
    (
        "algo._target_=metacl_run.algorithms.continual_meta.maml.Mamal",
        "must name a dataclass in metacl_run.algorithms.continual_meta.maml. Did you mean Maml?",
    ),
    ("algo._target_=nowhere.Maml", "algo._target_=nowhere.Maml: there is no module nowhere to import. A module of your own"),
    ("algo=maml,reptile", "several values are a sweep; start it with metacl-run -m"),
    ("algo.inner_lr=[1", "algo.inner_lr=[1: cannot be read as key=value"),
    ("algo=[maml]", "algo=[maml]: a group takes one option by its name"),
    ("algo=null", "algo=null: a group takes one option by its name"),
    ("seeds=-1", "seeds=[-1]: every entry must be at least 0"),
    ("seeds=[99999999999999999999]", "seeds=[99999999999999999999]: every entry must be from -"),
    ("output_dir=", "output_dir=: must name a folder"),
    ("data.test_classes=nan", "data.test_classes=nan: must be a finite number"),
    ("gpu.threads=100000000000", "gpu.threads=100000000000: must be at most 1024, or null"),
    ("data.ways=${data.nope}", "data.ways: "),
    ("algo._target_=.foo.Bar", "algo._target_=.foo.Bar: must be a dotted path"),
    ("algo._target_=json.JSONDecoder", "algo._target_=json.JSONDecoder: must name a dataclass in json."),
]


@pytest.mark.parametrize(("override", "message"), MISTAKES, ids=[str(m[0]) for m in MISTAKES])
def test_one_message_names_key_value_and_what_is_allowed(override: str | list[str], message: str) -> None:
    if override in ("gpu=cuda", "gpu.engine=cuda_graph") and __import__("torch").cuda.is_available():
        pytest.skip("there is CUDA here")
    with pytest.raises(UserError) as caught:
        single_experiment([override] if isinstance(override, str) else override, None)
    assert message in str(caught.value)


def test_all_mistakes_of_one_command_are_told_together() -> None:
    with pytest.raises(ConfigError) as caught:
        single_experiment(["algo.inner_lrr=1", "protocol.log_every=x", "sed=1"], None)
    text = str(caught.value)
    assert "algo.inner_lrr" in text
    assert "protocol.log_every=x" in text
    assert "sed=1" in text


def test_a_sweep_with_one_bad_job_starts_nothing_and_names_the_job() -> None:
    with pytest.raises(ConfigError, match=r"nothing was started.*\njob algo.inner_lr=0") as caught:
        command(["algo.inner_lr=0,0.1"], None, multirun=True)
    assert "job algo.inner_lr=0.1" not in str(caught.value)


def test_expand_is_the_grid() -> None:
    assert expand(["algo=maml,anil", "seeds=[0,1]", "algo.inner_lr=choice(0.1,0.2)"], multirun=True) == [
        ["algo=maml", "seeds=[0,1]", "algo.inner_lr=0.1"],
        ["algo=maml", "seeds=[0,1]", "algo.inner_lr=0.2"],
        ["algo=anil", "seeds=[0,1]", "algo.inner_lr=0.1"],
        ["algo=anil", "seeds=[0,1]", "algo.inner_lr=0.2"],
    ]


def test_mistakes_inside_a_preset_file_are_named_too(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    preset = tmp_path / "experiment" / "mine.yaml"
    preset.write_text("# @package _global_\nalgo:\n  inner_lr: fast\n")
    with pytest.raises(ConfigError, match=r"algo\.inner_lr=fast: must be a number"):
        single_experiment(["experiment=mine"], str(tmp_path))
    preset.write_text("# @package _global_\nalgo:\n  inner_lrr: 0.1\n")
    with pytest.raises(ConfigError, match="inner_lrr"):
        single_experiment(["experiment=mine"], str(tmp_path))
    preset.write_text("# @package _global_\nalgo: {inner_lr: [\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        single_experiment(["experiment=mine"], str(tmp_path))
    with pytest.raises(ConfigError, match=r"experiment=mime: there is no such option\. Did you mean mine"):
        single_experiment(["experiment=mime"], str(tmp_path))


def test_an_algorithm_that_does_not_fit_the_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "algo").mkdir()
    alien = "_target_: metacl_run.models.mlp.Mlp\nhidden: [3]\nbatch_norm: true\ninitial: torch\n"
    (tmp_path / "algo" / "alien.yaml").write_text(alien)
    with pytest.raises(ConfigError) as caught:
        single_experiment(["algo=alien"], str(tmp_path))
    message = "algo=alien: Mlp is no algorithm of any protocol: it must extend one of EpisodeLearner (continual_meta), "
    assert str(caught.value).startswith(message)


def test_an_algorithm_whose_file_does_not_choose_its_protocol(tmp_path: Path) -> None:
    (tmp_path / "algo").mkdir()
    mine = tmp_path / "algo" / "my_er.yaml"
    mine.write_text("defaults: [er]\n_target_: metacl_run.algorithms.online.er.Replay\n")
    assert single_experiment(["algo=my_er"], str(tmp_path)).protocol.kind == "online"  # as er.yaml says
    whole = (config_dir() / "algo" / "er.yaml").read_text().splitlines()
    mine.write_text("\n".join(line for line in whole if "override" not in line and line != "defaults:"))
    with pytest.raises(ConfigError, match=r"^algo=my_er: Replay learns under protocol=online, which its YAML file does not"):
        single_experiment(["algo=my_er"], str(tmp_path))


def test_an_option_of_ones_own_must_not_have_the_name_of_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "algo").mkdir()
    with pytest.raises(ConfigError, match=rf"^--config-dir={tmp_path}: holds no option"):
        check_folder(str(tmp_path))
    (tmp_path / "algo" / "er.yaml").write_text("defaults: [sgd]\n")
    with pytest.raises(
        ConfigError, match=r"er\.yaml: algo=er is a shipped option\. Give yours another name, such as algo=my_er"
    ):
        check_folder(str(tmp_path))


# ------------------------------------------------------------------------------------------------------ every shipped file

OPTIONS = sorted(
    p for g in ("algo", "model", "data", "gpu", "logger", "protocol", "experiment") for p in (config_dir() / g).glob("*.yaml")
)


@pytest.mark.parametrize("path", OPTIONS, ids=[f"{p.parent.name}/{p.stem}" for p in OPTIONS])
def test_every_shipped_yaml_lists_every_field_of_its_class(path: Path) -> None:
    text = path.read_text()
    node = yaml.safe_load(text)
    if "_target_" not in node:
        return
    fields = {field.name for field in dataclasses.fields(component_class(node["_target_"], path.parent.name))}
    assert set(node) - {"_target_", "defaults", "streams"} == fields
    for section in node.get("streams", {}).values():
        own = {field.name for field in dataclasses.fields(component_class(section["_target_"], "data"))}
        assert set(section) - {"_target_"} == own - {"source"}


TUNED = sorted(path.stem for path in (config_dir() / "tuned").glob("*.yaml"))


@pytest.mark.parametrize("name", TUNED)
def test_settings_for_a_family_of_data_reach_all_of_it_and_nothing_else(name: str) -> None:
    names = {group: {path.stem for path in (config_dir() / group).glob("*.yaml")} for group in ("algo", "family")}
    (algo, family), *others = [(a, f) for a in names["algo"] for f in names["family"] if f"{a}_{f}" == name]
    assert not others
    own = yaml.safe_load((config_dir() / "tuned" / f"{name}.yaml").read_text())
    files = OptionFiles()
    of_family = [data.name for data in files.all("data") if data.chooses.get("family") == family]
    assert len(of_family) > 1
    usual, kind = compose_job([f"algo={algo}"])[0].algo, files.algo_kind(files.option("algo", algo))
    for data in of_family:
        if kind in files.option("data", data).streams:
            assert compose_job([f"algo={algo}", f"data={data}"])[0].algo == {**usual, **own}
    setting = next(iter(own))
    assert compose_job([f"algo={algo}", f"data={of_family[0]}", f"algo.{setting}=7"])[0].algo[setting] == 7


PAIRS = sorted(path.stem for path in (config_dir() / "pair").glob("*.yaml"))


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks_of(name)) for name in PAIRS])
def test_a_pair_is_an_algorithm_and_data_or_a_model_that_compose(name: str) -> None:
    names = {group: {path.stem for path in (config_dir() / group).glob("*.yaml")} for group in ("algo", "data", "model")}
    options = [(group, option) for group in ("data", "model") for option in names[group]]
    (algo, group, data), *others = [(a, g, o) for a in names["algo"] for g, o in options if f"{a}_{o}" == name]
    assert not others
    config, choices = compose_job([f"algo={algo}", f"{group}={data}"])
    load(config, choices)
    if (
        group == "model" or choices["protocol"] != "continual_meta" or data == "split_glyphs"
    ):  # there, what would take minutes is shorter
        return
    of_maml, _ = compose_job(["algo=maml", f"data={data}"])  # the same for all, so that a sweep compares like with like
    assert config.protocol.updates_per_task == of_maml.protocol.updates_per_task
    assert compose_job([f"algo={algo}", f"data={data}", "protocol.updates_per_task=7"])[0].protocol.updates_per_task == 7


FROZEN = ("finetune", "linear_probe", "ncm_few_shot")
"""Methods whose network stays as it starts."""


@pytest.mark.parametrize("name", [name for name in options_that_are("algo", EpisodeLearner) if name not in FROZEN])
def test_every_episode_learner_takes_a_step_that_lowers_its_loss(name: str, experiment: Callable[..., Experiment]) -> None:
    import numpy as np
    import torch

    from metacl_run.models.network import Network, initial_params

    built = experiment(f"algo={name}", "algo.meta_batch_size=2")
    stream = built.data.load([0])
    algo, network_outputs = built.algo, built.algo.num_outputs(built.data.ways)
    module, params = initial_params(built.model, built.data.input_shape, network_outputs, 0, torch.float32)
    network = Network(module, built.data.ways)
    state = algo.start(network, params, torch.rand(sum(p.numel() for p in params.values())))
    shots = algo.train_shots or built.data.shots
    queries = built.data.queries if algo.train_queries is None else algo.train_queries
    batches = algo.inner_batches(shots * built.data.ways, True)
    drawn = stream.sample(
        np.zeros((1, 2), dtype=np.int64),
        "train",
        shots=shots,
        queries=queries,
        rngs=[np.random.default_rng(0)],
        batches=batches,
    )
    episodes = type(drawn)(*(leaf[0] for leaf in drawn))
    losses = []
    for _ in range(12):
        state, metrics = algo.meta_update(network, Engine(kind="vmap"), 100, state, episodes)
        losses.append(metrics["loss"].item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", [p.stem for p in OPTIONS if p.parent.name == "model"])
def test_every_model_builds_with_and_without_a_head(name: str, experiment: Callable[..., Experiment]) -> None:
    import torch

    side = 84 if name in ("oml", "oml_paper") else 28
    overrides = [f"data.image_size={side}"]
    x = torch.rand(6, 1, side, side)
    if name in ("text_bag", "text_transformer"):
        overrides, x = ["data=intents", "data.encoder=trained"], torch.randint(0, 100, (6, 24))
    if name.startswith("resnet18"):
        overrides.append("algo=er")  # running averages are for protocol online
    built = experiment(f"model={name}", *overrides, tiny=[])
    shape = built.data.input_shape if built.model.takes_tokens else tuple(x.shape[1:])
    assert built.model.build(shape, 5)(x).shape == (6, 5)
    features = built.model.build(shape, None)(x)
    assert features.shape[0] == 6
    assert features[0].numel() > 5


# ------------------------------------------------------------------------------------------------------------ types, names


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [(1, float, 1.0), (None, int | None, None), ([1, 2], list[float], [1.0, 2.0]), ("a", Literal["a", "b"], "a")],
)
def test_convert(value: object, hint: object, expected: object) -> None:
    converted = convert(value, hint)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint"), [(True, int), (1.5, int), ("1", int), (1, bool), (1, str), ("c", Literal["a", "b"])]
)
def test_convert_refuses(value: object, hint: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        convert(value, hint)


def test_run_id_follows_what_can_change_the_result_and_nothing_else(tmp_path: Path) -> None:
    def run_id(*overrides: str) -> str:
        return experiment_of(overrides).run_id

    base = run_id()
    assert run_id() == base
    for same in ("logger=wandb", "output_dir=elsewhere", "progress=none", "rerun=true", "protocol.checkpoint_every=1"):
        assert run_id(same) == base, same
    for other in (
        "seeds=[1]",
        "algo.inner_lr=0.1",
        "data.shots=2",
        "gpu.precision=float64",
        "protocol.eval_episodes=7",
        "insight=light",
    ):
        assert run_id(other) != base, other


def test_a_chunk_is_refused_where_episodes_are_taken_one_by_one() -> None:
    with pytest.raises(ConfigError, match=r"gpu\.chunk=2: must be null with engine=loop"):
        single_experiment(["gpu.engine=loop", "gpu.chunk=2"], None)


def test_settings_that_came_later_may_be_missing(experiment: Callable[..., Experiment]) -> None:
    """As in a config that an earlier version wrote, whose run has the same id."""
    config, choices = compose_job(["algo=er", "data=split_glyphs"])
    whole = load(config, choices)
    added = {
        **{"algo": ["weight_decay", "lr_schedule", "lr_drops", "lr_drop_factor"], "protocol": ["keep_states"]},
        "data": ["encoder", "order_seed", "class_order", "first_task_classes"],
    }
    for group, names in added.items():
        for name in names:
            node = config[group].streams.online if name in config[group].get("streams", {}).get("online", {}) else config[group]
            del node[name]
    older = load(config, choices)
    assert older.run_id == whole.run_id
    assert (older.algo, older.protocol, older.data) == (whole.algo, whole.protocol, whole.data)
    del config.algo["lr"]
    with pytest.raises(ConfigError, match=r"^algo.lr: is missing; Replay needs it$"):
        load(config, choices)
