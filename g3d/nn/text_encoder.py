"""A Hugging Face text encoder with its tokenizer; word features of a frozen encoder are computed once per sentence."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from g3d.errors import InputError, MissingDataError
from g3d.nn import hub_folder, text_files
from g3d.nn.weights import load_weights
from g3d.nn.word_cache import Rows, WordCache

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)


class Words(NamedTuple):
    """Word features of sentences.

    Attributes:
        features: (B, W, hidden), features of every token, including padding.
        padding: (B, W) bool, True where padded.
    """

    features: Tensor
    padding: Tensor


class TextEncoder(nn.Module):
    """The last hidden states of a Hugging Face encoder without its pooler, for sentences of `max_words` tokens.

    Sentences are padded or cut to that length. A frozen encoder takes no gradient and stays in evaluation mode, so that
    a sentence's features never change. They are computed once, for each sentence alone, so that they do not depend on
    the other sentences of the batch or on the order of calls. They are kept in memory, and on disk after `cache_in`.
    The tokenizer is part of the state dict: a checkpoint needs no other file.

    Args:
        architecture: entries of the encoder's config.json; omitted ones have the model type's defaults. No file is
            read.
        max_words: W.
        frozen: do not train the encoder. False: train it with its own dropouts; nothing is cached.
        dropout: a frozen encoder's dropouts are active in training, as in the published JLN; nothing is then cached in
            training.

    Raises:
        InputError: Hugging Face does not know the architecture, or it has too few positions for `max_words`.
    """

    def __init__(
        self, architecture: Mapping[str, Any], max_words: int = 110, frozen: bool = True, dropout: bool = False
    ) -> None:
        super().__init__()
        self.architecture = dict(architecture)
        self.max_words = max_words
        self.frozen = frozen
        self.dropout = dropout
        self.model = text_files.build(self.architecture, max_words).requires_grad_(not frozen)
        config: Any = self.model.config
        self.hidden_size: int = config.hidden_size
        self.pad_id: int = config.pad_token_id
        absolute = getattr(config, "position_embedding_type", "absolute") == "absolute"
        self._equal_pads = config.model_type in text_files.EQUAL_PADS and absolute
        self._tokenizer: Tokenizer | None = None
        self._warned: set[str] = set()
        self._cache = WordCache()
        self._cached_for: Any = None  # state of the weights when the cache was filled
        self._fingerprint = ""
        self.train(self.training)

    def load(self, encoder: str, offline: bool = False) -> None:
        """Load weights and tokenizer from a Hugging Face name or from a folder in its layout.

        Args:
            encoder: a folder, or a name on the hub, `owner/model` or `owner/model@revision`; only files that the local
                cache lacks are downloaded.
            offline: never contact the hub.

        Raises:
            InputError: the architecture differs from this one's, weights are missing, or files are damaged.
            MissingDataError: there is no such folder, it lacks files, or the name is neither cached nor downloadable.
        """
        folder = hub_folder.locate(encoder, text_files.ENCODER, offline)
        tokenizer = text_files.read_tokenizer(folder, self.model.config)
        load_weights(self.model, text_files.read_weights(folder, self.model), f"text encoder {folder}")
        self._set_tokenizer(tokenizer)

    def load_tokenizer(self, encoder: str, offline: bool = False) -> None:
        """Load the tokenizer only, for published weights that come without one; raises as `load`."""
        folder = hub_folder.locate(encoder, text_files.TOKENIZER, offline)
        self._set_tokenizer(text_files.read_tokenizer(folder, self.model.config))

    @property
    def has_tokenizer(self) -> bool:
        """Whether there is a tokenizer: after `load`, `load_tokenizer`, or loading a g3d checkpoint."""
        return self._tokenizer is not None

    def cache_in(self, folder: Path | str) -> None:
        """Cache a frozen encoder's word features in this folder, one file per sentence; several processes may share it.

        A file's name depends on weights, tokenizer, `max_words`, precision and sentence, and the file is valid for
        these only. Damaged files are computed again, with a warning. The 41,140 sentences of Mono3DRefer take 7 GB in
        float32 at width 768.

        Raises:
            InputError: the encoder is trained, or its dropouts are active in training.
        """
        if not self.frozen or self.dropout:
            raise InputError(
                f"text cache {folder}: the encoder must be frozen and without dropout: its features must not change"
            )
        self._cache.folder = Path(folder)
        self._cached_for = None

    def train(self, mode: bool = True) -> TextEncoder:
        """Set the training mode; a frozen encoder without `dropout` stays in evaluation mode."""
        super().train(mode)
        self.model.train(mode and (self.dropout or not self.frozen))
        return self

    def forward(self, expressions: Sequence[str]) -> Words:
        """Return the word features of B sentences, which are converted to lower case.

        Raises:
            MissingDataError: there is no tokenizer.
        """
        texts = [expression.lower() for expression in expressions]
        if self.frozen and not self.model.training:
            return self._padded([self._kept(text) for text in texts])
        ids, padding = self.tokenise(texts)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return Words(self._encode(ids, padding), padding)

    def tokenise(self, expressions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return token ids (B, W) int64 and padding (B, W) bool of B sentences, on the encoder's device.

        Raises:
            MissingDataError: there is no tokenizer.
        """
        ids = torch.full((len(expressions), self.max_words), self.pad_id)
        padding = torch.ones_like(ids, dtype=torch.bool)
        for row, expression in enumerate(expressions):
            tokens = self._tokens(expression.lower())
            ids[row, : len(tokens)] = torch.tensor(tokens)
            padding[row, : len(tokens)] = False
        device = next(self.model.parameters()).device
        return ids.to(device), padding.to(device)

    def get_extra_state(self) -> Tensor:
        """Return the tokenizer as bytes, (n,) uint8: the text of a tokenizer.json; empty if there is no tokenizer."""
        text = self._tokenizer.to_str() if self._tokenizer is not None else ""
        return torch.from_numpy(np.frombuffer(text.encode(), np.uint8).copy())

    def set_extra_state(self, state: Tensor) -> None:
        """Set the tokenizer from a state dict.

        Raises:
            InputError: it is not a tokenizer, or does not fit the architecture.
        """
        text = state.cpu().numpy().tobytes().decode("utf-8", "replace")
        self._set_tokenizer(
            text_files.parse_tokenizer(text, "tokenizer in the checkpoint", self.model.config) if text else None
        )

    def _set_tokenizer(self, tokenizer: Tokenizer | None) -> None:
        if tokenizer is not None:
            tokenizer.enable_truncation(self.max_words)
        self._tokenizer = tokenizer
        self._cached_for = None

    def _tokens(self, text: str) -> list[int]:
        if self._tokenizer is None:
            raise MissingDataError(
                "text encoder: it has no tokenizer", "set text.encoder to a Hugging Face name or a folder in its layout"
            )
        encoding = self._tokenizer.encode(text)  # one at a time: the library's threads conflict with worker processes
        if encoding.overflowing and text not in self._warned:
            self._warned.add(text)
            shown = text if len(text) <= 40 else f"{text[:40]}..."
            log.warning("expression %r: cut to its first %d tokens (text.max_words)", shown, self.max_words)
        return encoding.ids

    def _encode(self, ids: Tensor, padding: Tensor) -> Tensor:
        """Return the features (B, W, hidden) of tokens (B, W).

        If all padding positions have equal features, compute one padding column and repeat it.
        """
        if not self._equal_pads or self.model.training:  # dropout makes the padding features differ
            return self.model(input_ids=ids, attention_mask=(~padding).long()).last_hidden_state
        used = min(int((~padding).sum(1).max()) + 1, self.max_words)
        features = self.model(input_ids=ids[:, :used], attention_mask=(~padding[:, :used]).long()).last_hidden_state
        return (
            torch.cat([features, features[:, -1:].expand(-1, self.max_words - used, -1)], 1)
            if used < self.max_words
            else features
        )

    def _kept(self, text: str) -> Rows:
        """Return a frozen encoder's features of one sentence, from the cache if they are in it."""
        key = self._cache_key(text)
        rows = self._cache.get(key, next(self.model.parameters()).device)
        if rows is None:
            with (
                torch.inference_mode(False),
                torch.no_grad(),
            ):  # inference tensors could not take part in training later
                ids, padding = self.tokenise([text])
                length = int((~padding).sum())
                distinct = min(length + 1, self.max_words) if self._equal_pads else self.max_words
                rows = Rows(self._encode(ids, padding)[0, :distinct].clone(), length)
            self._cache.put(key, rows)
        return rows

    def _padded(self, sentences: Sequence[Rows]) -> Words:
        """Return the features of sentences padded to (B, W), by repeating each sentence's last row."""
        device = next(self.model.parameters()).device
        place = torch.arange(self.max_words, device=device)
        features = torch.stack([rows.features[place.clamp(max=len(rows.features) - 1)] for rows in sentences])
        return Words(features, place >= torch.tensor([rows.length for rows in sentences], device=device)[:, None])

    def _cache_key(self, text: str) -> str:
        """Return a key of everything that a sentence's features depend on.

        The memory is cleared if the weights have changed since it was filled.
        """
        state = [(parameter.data_ptr(), parameter._version) for parameter in self.model.parameters()]
        if state != self._cached_for:
            self._cache.clear()
            self._cached_for = state
            self._fingerprint = self._hash() if self._cache.folder is not None else ""
        weight = next(self.model.parameters())
        kind = weight.device.type
        number = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        tf32 = "tf32" if kind == "cuda" and torch.backends.cuda.matmul.allow_tf32 else ""
        return "\n".join((self._fingerprint, str(number), tf32, text))

    def _hash(self) -> str:
        """Return a fingerprint of weights, architecture, tokenizer and `max_words`."""
        digest = hashlib.sha256(json.dumps([self.architecture, self.max_words], sort_keys=True, default=str).encode())
        for name, value in [*self.model.state_dict().items(), ("tokenizer", self.get_extra_state())]:
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()
