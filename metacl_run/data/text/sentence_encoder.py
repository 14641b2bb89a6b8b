"""Sentence embeddings of a pretrained transformer that stays as it is, through the package `transformers` (extra `hf`)."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.errors import SettingError
from metacl_run.data.encoders.pretrained import encoding_device, one_message
from metacl_run.data.encoders.weights_digest import digest_of
from metacl_run.data.files.torchvision_guard import torchvision_module
from metacl_run.data.text.sentence_folder import INSTEAD, SentenceFolder, sentence_folder
from metacl_run.data.text.text_encoder import TextEncoder

VERSION = 1
"""Part of the fingerprint: raise it when a text gets other features from the same weights."""
PACKAGES = ("transformers", "tokenizers", "safetensors", "huggingface_hub")
EXAMPLE = "sentence:sentence-transformers/all-MiniLM-L6-v2"
BATCH = 64
"""Texts, of much the same length."""
NO_LIMIT = 10**6
"""Tokenizers that know no limit give a larger one."""


class SentenceEncoder(TextEncoder):
    """Pools the last layer of a transformer over the tokens of a text, as the model's folder says.

    It runs on the first CUDA device where there is one, in float32. Features of one text differ by rounding errors with the
    texts that are encoded beside it. No code of a model's folder is run, and no pickle is read.
    """

    def __init__(self, argument: str, folder: SentenceFolder) -> None:
        self.name, self.shape, self._folder = f"sentence:{argument}", (folder.dimensions,), folder

    @classmethod
    def of(cls, argument: str | None) -> SentenceEncoder:
        """sentence:FOLDER, or sentence:NAME for a name on the Hugging Face hub. The weights are read when they are needed."""
        if not argument:
            raise SettingError("encoder", "sentence", f"needs a folder, or a name on the Hugging Face hub, as in {EXAMPLE}")
        missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
        if missing:
            install = "pip install 'metacl-run[hf]'"
            raise SettingError("encoder", f"sentence:{argument}", f"needs {', '.join(missing)}: {install}; {INSTEAD}")
        return cls(argument, sentence_folder(argument))

    @cached_property
    def fingerprint(self) -> str:
        return f"sentence version {VERSION} {digest_of(self._folder.files)}"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        features = np.zeros((len(texts), *self.shape), np.float32)
        with one_message(self.name, INSTEAD), torch.inference_mode():
            tokenizer, model = self._loaded
            tokens = tokenizer(self._written(texts), truncation=True, max_length=self._most_tokens, padding=False)
            lengths = [len(ids) for ids in tokens["input_ids"]]
            order = sorted(range(len(texts)), key=lengths.__getitem__, reverse=True)
            for start in range(0, len(texts), BATCH):
                rows = order[start : start + BATCH]
                batch = tokenizer.pad({key: [tokens[key][row] for row in rows] for key in tokens}, return_tensors="pt")
                batch = {key: value.to(model.device) for key, value in batch.items()}
                features[rows] = self._pooled(model(**batch).last_hidden_state, batch["attention_mask"]).cpu().numpy()
        return features

    def _written(self, texts: Sequence[str]) -> list[str]:
        return [text.lower() for text in texts] if self._folder.lower_case else list(texts)

    def _pooled(self, outputs: Tensor, mask: Tensor) -> Tensor:
        """Turns outputs [N, tokens, width] into features [N, width]; `mask` [N, tokens] is 1 for tokens, 0 for padding."""
        inside = mask.unsqueeze(-1)
        if self._folder.pooling == "cls":
            features = outputs[:, 0]
        elif self._folder.pooling == "max":
            features = outputs.masked_fill(inside == 0, -torch.inf).amax(1)
        else:
            features = (outputs * inside).sum(1) / inside.sum(1).clamp(min=1)
        return torch.nn.functional.normalize(features, dim=1) if self._folder.normalised else features

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """The tokenizer and the model."""
        torchvision_module("datasets")  # transformers imports torchvision, which may need help
        from transformers import AutoModel, AutoTokenizer

        logging: Any = importlib.import_module("transformers.utils.logging")
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(self._folder.transformer, **options)
        tokenizer.padding_side = "right"
        model = AutoModel.from_pretrained(self._folder.transformer, use_safetensors=True, dtype=torch.float32, **options)
        if model.config.hidden_size != self.shape[0]:
            raise ValueError(f"config.json says {self.shape[0]} dimensions, the model has {model.config.hidden_size}")
        return tokenizer, model.eval().to(encoding_device())

    @cached_property
    def _most_tokens(self) -> int:
        tokenizer, model = self._loaded
        limits = (self._folder.most_tokens, tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None))
        return min(limit for limit in (*limits, NO_LIMIT) if limit is not None)
