"""Reads what the folder of a sentence-transformers model says about itself, and finds the folder of a name on the hub.

Only JSON is read here, and nothing of a folder is ever executed.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
INSTEAD = "data.encoder=hashed needs no model"


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
    path = os.path.expanduser(argument)
    folder = Path(path) if os.path.isdir(path) else _from_hub(argument)
    try:
        return _read(folder)
    except FileNotFoundError as error:
        reason = f"it has no {Path(error.filename).name}"
    except _UnknownPartError as error:
        reason = str(error)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = described(error)
    raise SettingError("encoder", f"sentence:{argument}", f"{folder} has no model that can be used: {reason}. {INSTEAD}")


class _UnknownPartError(Exception):
    """A part of a model that is not known here."""


def _read(folder: Path) -> SentenceFolder:
    """Raises `_UnknownPartError`, and what reading broken JSON raises."""
    modules = _json(folder / "modules.json", default=[{"type": "Transformer", "path": ""}])
    parts = {str(module["type"]).rpartition(".")[2]: folder / str(module["path"]) for module in modules}
    if not parts:
        raise _UnknownPartError("its modules.json names no part")
    if next(iter(parts)) != "Transformer" or not parts.keys() <= {"Transformer", "Pooling", "Normalize"}:
        raise _UnknownPartError(f"of its parts {', '.join(parts)} only Transformer, Pooling and Normalize are known")
    transformer = parts["Transformer"]
    config, limits = _json(transformer / "config.json"), _json(transformer / "sentence_bert_config.json", default={})
    _refuse(folder, transformer, config)
    width = next((config[key] for key in WIDTHS if key in config), None)
    if not isinstance(width, int):
        raise _UnknownPartError(f"its config.json has none of {', '.join(WIDTHS)}")
    places = {folder, *parts.values()}
    return SentenceFolder(
        transformer=transformer,
        files=sorted({path for place in places for pattern in PATTERNS for path in place.glob(pattern)}),
        dimensions=width,
        pooling=_pooling(_json(parts["Pooling"] / "config.json")) if "Pooling" in parts else "mean",
        normalised="Normalize" in parts,
        most_tokens=limits.get("max_seq_length"),
        lower_case=bool(limits.get("do_lower_case")),
    )


def _refuse(folder: Path, transformer: Path, config: dict[str, Any]) -> None:
    """Raises `_UnknownPartError` for models whose features would not be what their makers mean."""
    prompt = _json(folder / "config_sentence_transformers.json", default={}).get("default_prompt_name")
    if prompt is not None:
        raise _UnknownPartError(f"it wants the prompt {shown(prompt)} before every text, which is not done here")
    if config.get("is_encoder_decoder"):
        raise _UnknownPartError("it has a decoder; models that are encoders alone are known")
    if not any(transformer.glob("*.safetensors")):
        raise _UnknownPartError("it has no weights as safetensors, the one format that is read")


def _pooling(config: dict[str, Any]) -> Pooling:
    """Raises `_UnknownPartError` for another pooling, or several."""
    switched_on = [key for key, value in config.items() if value is True and key.startswith("pooling_mode")]
    modes = switched_on or [f"pooling_mode_{config.get('pooling_mode')}"]
    for key, pooling in POOLINGS.items():
        if modes in ([key], [f"pooling_mode_{pooling}"]):
            return pooling
    raise _UnknownPartError(f"its pooling is {', '.join(modes)}; one of {', '.join(POOLINGS)} is known")


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
