"""The words of sentences as tensors; vocabulary and word vectors are part of the network's checkpoint.

Letters in shapes: B scenes, L sentences of a scene, T words of the longest sentence, D numbers of a word vector.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.numpy import load, save
from torch import Tensor, nn

from g3d.data.boundary import reading
from g3d.data.scanrefer.sentences import MAXIMUM_WORDS, PADDING, keyword_mask, word_numbers
from g3d.data.scanrefer.vectors import UNKNOWN, WordVectors
from g3d.errors import InputError, MissingDataError
from g3d.systems.ws3dvg.model import Sentences

_WHERE = "words in the checkpoint"


@dataclass(frozen=True)
class Written:
    """A sentence.

    Attributes:
        words: its words, at least one.
        keywords, first_keywords: 0 or 1 for each word, see SceneSentence; None where there are no lists.
        seed: decides which words the teacher does not see in evaluation.
    """

    words: tuple[str, ...]
    keywords: tuple[int, ...] | None = None
    first_keywords: tuple[int, ...] | None = None
    seed: int = 0

    @property
    def length(self) -> int:
        """Number of words that count."""
        return min(len(self.words), MAXIMUM_WORDS)


class Words(nn.Module):
    """The vocabulary of the teacher, and the vectors of all words that are known.

    Its state in a checkpoint is one tensor of bytes. A new network knows no word; `fill` or a checkpoint sets them.

    Args:
        vocabulary: number of words that the teacher predicts.
        channels: D.
        replaced: share of words that the teacher does not see in evaluation.
        mask_value_two_is_padding: the published fault of keyword masks.
    """

    def __init__(self, vocabulary: int, channels: int, replaced: float, mask_value_two_is_padding: bool) -> None:
        super().__init__()
        self.size, self.channels, self.replaced = vocabulary, channels, replaced
        self.published_masks = mask_value_two_is_padding
        self.numbers: dict[str, int] = {}
        self.vectors: WordVectors | None = None
        self._state = torch.zeros(0, dtype=torch.uint8)

    def fill(self, numbers: Mapping[str, int], vectors: WordVectors, where: str) -> None:
        """Set the vocabulary and the vectors.

        Args:
            numbers: number of each word of the vocabulary; empty if it is not known, so that the teacher cannot run.
            vectors: of all known words.
            where: the place that they come from; begins the message.

        Raises:
            InputError: the vocabulary or the vectors have another size than the network's.
        """
        if numbers and len(numbers) != self.size:
            raise InputError(
                f"{where}: the vocabulary has {len(numbers)} words, the network predicts {self.size}",
                "use the vocabulary that the weights were trained with, or leave model.vocabulary at 0 to train anew",
            )
        if vectors.vectors.shape[1] != self.channels:
            raise InputError(
                f"{where}: word vectors have {vectors.vectors.shape[1]} numbers, the network reads {self.channels}",
                f"set model.word_channels={vectors.vectors.shape[1]}, or prepare other vectors",
            )
        self.numbers, self.vectors = dict(numbers), vectors
        about = json.dumps({"words": vectors.words, "vocabulary": list(self.numbers)}, ensure_ascii=False).encode()
        content = {"vectors": np.ascontiguousarray(vectors.vectors), "about": np.frombuffer(about, np.uint8)}
        self._state = torch.from_numpy(np.frombuffer(save(content), np.uint8).copy())

    def get_extra_state(self) -> Tensor:
        """Return vocabulary and vectors as bytes, (n,) uint8; empty if no word is known."""
        return self._state

    def set_extra_state(self, state: Tensor) -> None:
        """Set vocabulary and vectors from a state dict.

        Raises:
            InputError: the bytes are damaged, or have another size than the network's.
        """
        if not isinstance(state, Tensor) or not len(state):
            return
        with reading(_WHERE):
            content = load(state.cpu().numpy().tobytes())
            about = json.loads(content["about"].tobytes())
            vectors = WordVectors(tuple(about["words"]), content["vectors"])
            numbers = {word: number for number, word in enumerate(about["vocabulary"])}
        self.fill(numbers, vectors, _WHERE)

    def unknown(self, sentence: Written) -> list[str]:
        """Return the words of a sentence that have no vector; they are read as padding, as published."""
        return [word for word in sentence.words[: sentence.length] if word not in self._known()]

    def encode(
        self, scenes: Sequence[Sequence[Written]], rows: int, device: torch.device, teach: bool, drawn: bool
    ) -> Sentences:
        """Return the sentences about B scenes as tensors; a scene with fewer than L repeats its last one.

        Args:
            scenes: 1..L sentences of each scene.
            rows: L.
            device: of the result.
            teach: whether the teacher runs, which needs the vocabulary.
            drawn: whether the words that the teacher does not see are drawn in every pass, as in training; otherwise,
                the seed of each sentence decides.

        Raises:
            MissingDataError: no word is known, or the teacher has no vocabulary.
        """
        known = self._known()
        if teach and not self.numbers:
            raise MissingDataError(
                "WS-3DVG: the teacher's vocabulary is not known", "set text.vocabulary to <data set>_vocabulary.json"
            )
        filled = [[*sentences, *[sentences[-1]] * (rows - len(sentences))] for sentences in scenes]
        lengths = torch.tensor([[sentence.length for sentence in sentences] for sentences in filled])
        longest = int(lengths.max())
        vectors = np.zeros((*lengths.shape, longest, self.channels), np.float32)
        ids = np.zeros(vectors.shape[:3], np.int64)
        masks, replaced = np.full(ids.shape, PADDING, np.int64), np.zeros(ids.shape, bool)
        for b, sentences in enumerate(filled):
            for row, sentence in enumerate(sentences):
                words = sentence.words[: sentence.length]
                vectors[b, row, : len(words)] = [known[word] for word in words]
                if teach:
                    ids[b, row] = word_numbers(words, self.numbers)[0][:longest]
                    masks[b, row] = self._mask(sentence)[:longest]
                    replaced[b, row] = np.random.default_rng(sentence.seed).random(longest) < self.replaced
        return Sentences(
            torch.from_numpy(vectors).to(device),
            lengths.to(device),
            torch.tensor([len(sentences) for sentences in scenes], device=device),
            torch.from_numpy(ids).to(device) if teach else None,
            torch.from_numpy(masks).to(device) if teach else None,
            torch.from_numpy(known[UNKNOWN].copy()).to(device),
            torch.from_numpy(replaced).to(device) if teach and not drawn else None,
        )

    def _mask(self, sentence: Written) -> np.ndarray:
        return keyword_mask(sentence.length, sentence.keywords, sentence.first_keywords, self.published_masks)

    def _known(self) -> WordVectors:
        if self.vectors is None:
            raise MissingDataError(
                "WS-3DVG: no word vectors are known, which published checkpoints do not hold",
                "set text.vectors to <data set>.vectors.safetensors, which g3d prepare scanrefer --vectors makes",
            )
        return self.vectors
