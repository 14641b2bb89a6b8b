"""Reads what the folder of a sentence-transformers model says about itself, and finds the folder of a name on the hub.

Only JSON is read here, and nothing of a folder is ever executed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from metacl_run.core.errors import SettingError, described, shown

Pooling = Literal["mean", "cls", "max"]
POOLINGS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}
"""The settings of a folder's pooling that are known."""
WIDTHS = ("hidden_size", "dim", "d_model", "n_embd")
"""What architectures call the width of their last layer."""
PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model")
"""The files of a model, in its folder."""
INSTEAD = "encoder=hashed needs no model"


@dataclass(frozen=True, kw_only=True)
class SentenceFolder:
    """A transformer in a folder, and how its outputs become the features of a text."""

    transformer: Path
    """The folder with config.json, the tokenizer and the weights."""
    files: list[Path]
    """All that the features depend on."""
    dimensions: int
    pooling: Pooling
    normalised: bool
    """Whether features have length 1."""
    most_tokens: int | None
    """Longer texts are cut off; None: where the tokenizer and the positions end."""
    lower_case: bool
    """Whether texts are put into lower case before the tokenizer has them."""


def sentence_folder(argument: str) -> SentenceFolder:
    """Reads the folder that an argument names: a path, or a name on the hub.

    Raises:
        SettingError: there is no such folder, no such name or no network, or it is not a model that can be used.
    """

    def require(condition: bool, problem: str) -> None:
        if not condition:
            raise SettingError("encoder", f"sentence:{argument}", f"{problem}; {INSTEAD}")

    path = Path(argument).expanduser()
    folder = path if path.is_dir() else _from_hub(argument)
    try:
        modules = _json(folder / "modules.json", default=[{"type": "Transformer", "path": ""}])
        kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
        known = [kind for kind in kinds if kind in ("Transformer", "Pooling", "Normalize")]
        require(kinds[:1] == ["Transformer"] and kinds == known, f"the model has the parts {', '.join(kinds)}, of which "
                "Transformer, then Pooling and Normalize, are known")  # fmt: skip
        parts = {kind: folder / str(module["path"]) for kind, module in zip(kinds, modules, strict=True)}
        transformer = parts["Transformer"]
        config, limits = _json(transformer / "config.json"), _json(transformer / "sentence_bert_config.json", default={})
        pooling = _json(parts["Pooling"] / "config.json") if "Pooling" in parts else {"pooling_mode_mean_tokens": True}
        prompt = _json(folder / "config_sentence_transformers.json", default={}).get("default_prompt_name")
        width = next((config[key] for key in WIDTHS if key in config), None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{Path(error.filename).name} is missing" if isinstance(error, FileNotFoundError) else described(error)
        require(False, f"{folder} is no folder of a sentence-transformers model ({reason})")
    modes = [pooling["pooling_mode"]] if "pooling_mode" in pooling else [key for key in pooling if pooling[key] is True]
    modes = [POOLINGS.get(mode, mode) for mode in modes if mode != "include_prompt"]
    require(
        len(modes) == 1 and modes[0] in POOLINGS.values(), f"its pooling is {shown(modes)}; one of mean, cls and max is known"
    )
    require(prompt is None, f"it puts the prompt {shown(prompt)} before every text, which is not done here")
    require(not config.get("is_encoder_decoder"), "it has a decoder; models that are encoders alone are known")
    require(isinstance(width, int), f"its config.json has none of {', '.join(WIDTHS)}")
    require(any(transformer.glob("*.safetensors")), f"{transformer} has no weights as safetensors, the one format that is read")
    return SentenceFolder(
        transformer=transformer,
        files=sorted({path for place in {folder, *parts.values()} for pattern in PATTERNS for path in place.glob(pattern)}),
        dimensions=cast("int", width),
        pooling=cast("Pooling", modes[0]),
        normalised="Normalize" in kinds,
        most_tokens=limits.get("max_seq_length"),
        lower_case=bool(limits.get("do_lower_case")),
    )


def _json(path: Path, default: Any = None) -> Any:
    """Reads a file of JSON; `default` (unless None) where there is none. Raises OSError and ValueError."""
    if default is not None and not path.exists():
        return default
    return json.loads(path.read_text(encoding="utf-8"))


def _from_hub(name: str) -> Path:
    """The folder of a model of the hub: as it was fetched before, else fetched now, without pickles and without code.

    Raises:
        SettingError: it cannot be fetched.
    """
    from huggingface_hub import snapshot_download

    setting = f"sentence:{name}"
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise SettingError("encoder", setting, f"there is no such folder; {INSTEAD}")
    patterns = [*PATTERNS, *(f"*/{pattern}" for pattern in PATTERNS)]
    try:
        folder = Path(snapshot_download(name, local_files_only=True, allow_patterns=patterns))
        if any(folder.glob("**/*.safetensors")):
            return folder
    except (OSError, ValueError):
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # of the network's many layers
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        allowed = (
            f"is no folder here, and cannot be fetched from the Hugging Face hub ({shown(reason)}). A folder with the model "
        )
        raise SettingError("encoder", setting, f"{allowed}works without a network, as in sentence:FOLDER; {INSTEAD}") from None
