"""WS-3DVG (Wang et al. 2023): sentences about scenes, learnt without boxes of their objects.

A frozen detector proposes boxes. A coarse stage chooses candidates for a sentence, a teacher judges them by how well
they help to reconstruct the sentence, and a student learns the teacher's ranking; inference needs the student alone.

Architecture, arithmetic and parameter names of ZzZZCHS/WS-3DVG. Letters in shapes: B scenes, N points, P proposals, C
classes, V channels of image features, L sentences of a scene (padded to the same number), T words of the longest
sentence, D numbers of a word vector, H channels, K candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from g3d.data.scannet.mean_sizes import DETECTION_MEAN_SIZES, SCANREFER_MEAN_SIZES
from g3d.data.scanrefer.sentences import KEYWORD, PADDING
from g3d.nn.groupfree import GroupFree
from g3d.nn.votenet import VoteNet, propose
from g3d.systems.ws3dvg.coarse import best_candidates, coarse_scores
from g3d.systems.ws3dvg.language import Language, with_unknown_words
from g3d.systems.ws3dvg.model_config import ModelConfig
from g3d.systems.ws3dvg.relation import Relation, view_features_of
from g3d.systems.ws3dvg.student import Student
from g3d.systems.ws3dvg.teacher import Teacher, reconstruction_losses, word_kinds


@dataclass(frozen=True, eq=False)
class Proposals:
    """Proposals of the detector, without gradient.

    Attributes:
        boxes: (B, P, 6) centre and extents, metres; extents may be negative.
        objects: (B, P) bool, whether the detector holds the proposal for an object.
        class_scores: (B, P, C) logits.
        features: (B, P, H).
        seeds: (B, P) int64, the seed of each proposal among the backbone's.
        points: (B, P) int64, the point of the cloud at that seed.
    """

    boxes: Tensor
    objects: Tensor
    class_scores: Tensor
    features: Tensor
    seeds: Tensor
    points: Tensor


@dataclass(frozen=True, eq=False)
class Scenes:
    """Encoded scenes: everything that does not depend on sentences.

    Attributes:
        proposals: of the detector.
        features: (B, P, H) of proposals, after the relation module.
    """

    proposals: Proposals
    features: Tensor


@dataclass(frozen=True, eq=False)
class Sentences:
    """L sentences about each of B scenes.

    Attributes:
        vectors: (B, L, T, D) float32 word vectors, 0 after the last word.
        lengths: (B, L) int64, at least 1.
        counts: (B,) int64, how many sentences of a scene count; the others only fill up the batch.
        word_ids: (B, L, T) int64, words of the vocabulary; needed by the teacher.
        keyword_mask: (B, L, T) int64, see g3d/data/scanrefer/sentences.py; needed by the teacher.
        unknown: (D,) float32, the vector of the unknown word; needed in training.
        replaced: (B, L, T) bool, words that the teacher does not see; None: drawn in every pass, in evaluation too, as
            published, from the global generator of the CPU.
    """

    vectors: Tensor
    lengths: Tensor
    counts: Tensor
    word_ids: Tensor | None = None
    keyword_mask: Tensor | None = None
    unknown: Tensor | None = None
    replaced: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Outputs:
    """Everything that the network finds about sentences. Rows of sentences that do not count carry no meaning.

    Attributes:
        scenes: the encoded scenes.
        words: (B, L, T, H) features of words.
        sentences: (B, L, H) sentence vectors.
        class_scores: (B, L, C) logits of the described object's class.
        student: (B, L, P) scores of the student, higher is better.
        coarse: (B, L, P) scores of the coarse stage, -inf where there is no object; without gradient.
        candidates: (B, L, K) int64, proposals by falling coarse score.
        reconstruction: (B, L, K) the teacher's losses, lower is better; None if the teacher did not run.
    """

    scenes: Scenes
    words: Tensor
    sentences: Tensor
    class_scores: Tensor
    student: Tensor
    coarse: Tensor
    candidates: Tensor
    reconstruction: Tensor | None


class WS3DVG(nn.Module):
    """Scenes and sentences -> scores of the coarse stage, the teacher and the student.

    The detector's parameters need no gradient, and the detector stays in evaluation mode. Parts that the ablations
    leave untrained need no gradient either.

    Args:
        config: settings, with the size of the vocabulary.
    """

    mean_sizes: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        for name, what in (("vocabulary", "words"), ("word_channels", "numbers of a word vector")):
            if not getattr(config, name):
                raise ValueError(f"model.{name}: expected the number of {what}, found 0")
        self.config = config
        channels, heads, ablation = config.channels, config.heads, config.ablation
        means = {"detector": DETECTION_MEAN_SIZES, "scanrefer": SCANREFER_MEAN_SIZES}[config.faults.detector_mean_sizes]
        self.register_buffer("mean_sizes", torch.from_numpy(means.copy()).float(), persistent=False)
        self._add_detector()
        for part in self.detector_parts:
            part.requires_grad_(False).eval()
        self.relation = Relation(channels, heads, config.relation_layers, config.view_features, config.dropout)
        self.lang = Language(config.word_channels, channels, len(means), config.dropout, config.faults.dropout_at_test)
        self.recnet = Teacher(channels, heads, config.teacher_layers, config.vocabulary, config.teacher_dropout)
        self.match = Student(channels, heads, config.dropout)
        untrained = ((self.recnet, ablation.no_recon), (self.match, ablation.no_distill))
        for module, without in (*untrained, (self.lang.lang_cls, ablation.no_text)):
            if without:
                module.requires_grad_(False)

    def _add_detector(self) -> None:
        """Add the detector under the published names: group_free, or the three parts of VoteNet."""
        config, classes = self.config, len(self.mean_sizes)
        if config.detector == "groupfree":
            self.group_free = GroupFree(
                self.mean_sizes,
                classes,
                config.decoder_layers,
                config.proposals,
                config.width,
                config.input_features,
                config.channels,
                config.heads,
                config.feedforward,
                samples=config.samples,
            )
            return
        votenet = VoteNet(
            self.mean_sizes,
            classes,
            config.proposals,
            input_features=config.input_features,
            channels=2 * config.channels,
            width=config.width,
            samples=config.samples,
        )
        self.backbone_net, self.vgen, self.pnet = votenet.backbone_net, votenet.vgen, votenet.pnet

    @property
    def detector_parts(self) -> tuple[nn.Module, ...]:
        """The modules that are frozen."""
        if self.config.detector == "groupfree":
            return (self.group_free,)
        return self.backbone_net, self.vgen, self.pnet

    def train(self, mode: bool = True) -> WS3DVG:
        """Set the mode of all parts but the detector, which stays in evaluation mode."""
        super().train(mode)
        for part in self.detector_parts:
            part.eval()
        return self

    def forward(self, points: Tensor, view_features: Tensor, sentences: Sentences, teach: bool = True) -> Outputs:
        """Return the outputs for sentences about scenes.

        Args:
            points: (B, N, 3 + input_features) float32: x y z in metres, z up, then features.
            view_features: (B, N, V) float32, image features of the points.
            sentences: about each scene.
            teach: whether the teacher runs; without it, `word_ids` and `keyword_mask` are not needed.
        """
        return self.ground(self.encode(points, view_features), sentences, teach)

    def encode(self, points: Tensor, view_features: Tensor) -> Scenes:
        """Return the encoded scenes, which serve any number of sentences; arguments as above."""
        found = self.detect(points)
        views = view_features_of(found.points, view_features, self.config.faults.view_features_by_channel)
        return Scenes(found, self.relation(found.features, found.boxes, views))

    @torch.no_grad()
    def detect(self, points: Tensor) -> Proposals:
        """Return the detector's proposals; arguments as above."""
        if self.config.detector == "groupfree":
            of_queries = self.group_free(points)
            seeds, chosen, head = of_queries.seeds, of_queries.query_indices, of_queries.heads[-1]
            objects = head.objectness[..., 0].sigmoid() > self.config.min_objectness
            features = of_queries.features
        else:
            of_votes = propose(self.backbone_net, self.vgen, self.pnet, points, self.mean_sizes, "vote")
            seeds, chosen, head = of_votes.seeds, of_votes.proposal_indices, of_votes.boxes
            objects = head.objectness.softmax(-1)[..., 1] > self.config.min_objectness
            features = of_votes.features
        return Proposals(head.boxes, objects, head.class_scores, features, chosen, seeds.indices.gather(1, chosen))

    def ground(self, scenes: Scenes, sentences: Sentences, teach: bool = True) -> Outputs:
        """Return the outputs for sentences about encoded scenes; arguments as of `forward`.

        Raises:
            ValueError: a sentence has no word, or the teacher or the training lacks one of its inputs.
        """
        proposals, ablation = scenes.proposals, self.config.ablation
        after = (
            torch.arange(sentences.vectors.shape[2], device=sentences.vectors.device) >= sentences.lengths[..., None]
        )
        kinds, scored = self._kinds(sentences) if teach else (None, None)
        words, masked, vectors, chosen_by = self._read(sentences, kinds)
        coarse = coarse_scores(
            scenes.features,
            proposals.class_scores,
            proposals.objects,
            vectors.detach(),
            self.lang.class_scores(chosen_by).detach(),
            ablation,
        )
        candidates = best_candidates(coarse, self.config.candidates)
        reconstruction = None
        if masked is not None and kinds is not None and scored is not None:
            reconstruction = self._judge(scenes, sentences, candidates, masked, kinds, scored)
        return Outputs(
            scenes,
            words,
            vectors,
            self.lang.class_scores(vectors),
            self.match(scenes.features, words, after),
            coarse,
            candidates,
            reconstruction,
        )

    def _kinds(self, sentences: Sentences) -> tuple[Tensor, Tensor]:
        """Return the kind of each position, and the words that the teacher scores."""
        if sentences.word_ids is None or sentences.keyword_mask is None:
            raise ValueError("sentences: the teacher needs word_ids and keyword_mask, found None")
        fault = self.config.faults.mask_value_two_is_padding
        return word_kinds(sentences.keyword_mask, sentences.lengths, sentences.counts, fault)

    def _read(self, sentences: Sentences, kinds: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """Read the sentences, their versions without keywords and, in training, with unknown words, in one batch.

        Args:
            sentences: L of each scene.
            kinds: (B, L, T), which keywords the teacher does not read; None without teacher.

        Returns:
            Word features (B, L, T, H) for the student; those for the teacher, None without it; sentence vectors
            (B, L, H); and the sentence vectors that choose the class of candidates.
        """
        shape = sentences.vectors.shape[:2]
        clean, lengths = sentences.vectors.flatten(0, 1), sentences.lengths.flatten().cpu()
        if int(lengths.min()) < 1 or int(lengths.max()) != clean.shape[1]:
            raise ValueError(
                f"sentences.lengths: expected 1..{clean.shape[1]} with this maximum, found {int(lengths.min())}"
                f"..{int(lengths.max())}"
            )
        read = clean
        if self.training and self.config.unknown_words:
            if sentences.unknown is None:
                raise ValueError("sentences.unknown: training needs the vector of the unknown word, found None")
            read = with_unknown_words(clean, lengths, sentences.unknown, self.config.unknown_words)
            clean = read if self.config.faults.unknown_words_in_place else clean
        versions = [read]
        if kinds is not None:
            versions.append(clean.masked_fill((kinds == KEYWORD).flatten(0, 1)[..., None], 0))
        if clean is not read:
            versions.append(clean)
        states, last = self.lang(torch.cat(versions), lengths.repeat(len(versions)))
        states, last = (x.unflatten(0, (len(versions), *shape)) for x in (states, last))
        masked = None if kinds is None else self.lang.word_features(states[1])
        return self.lang.word_features(states[0]), masked, last[0], last[-1] if clean is not read else last[0]

    def _judge(
        self, scenes: Scenes, sentences: Sentences, candidates: Tensor, masked: Tensor, kinds: Tensor, scored: Tensor
    ) -> Tensor:
        """Return the teacher's losses (B, L, K), 0 for sentences that do not count; these are left out of all work.

        Args:
            scenes: the encoded scenes.
            sentences: about each scene, with word_ids.
            candidates: (B, L, K) int64.
            masked: (B, L, T, H) features of words of the sentences without keywords.
            kinds: (B, L, T) int64.
            scored: (B, L, T) bool.
        """
        assert sentences.word_ids is not None
        replaced = sentences.replaced
        if replaced is None:
            replaced = torch.rand(kinds.shape, device="cpu").to(kinds.device) < self.config.replaced_words
        counted = scored.flatten(0, 1).any(1)
        inputs = (masked, replaced, kinds == PADDING, scored, rows_at(scenes.features, candidates))
        words, replaced, padding, rows, features = (x.flatten(0, 1)[counted] for x in inputs)
        ids, kinds = (x.flatten(0, 1)[counted][rows] for x in (sentences.word_ids, kinds))
        hidden, at = self.recnet(words, replaced, padding, rows, features)
        losses = reconstruction_losses(self.recnet.losses(hidden, ids), at.sentences, kinds, len(words))
        whole = losses.new_zeros(len(counted), losses.shape[1])
        return whole.index_copy(0, counted.nonzero()[:, 0], losses).view(candidates.shape)


def rows_at(features: Tensor, candidates: Tensor) -> Tensor:
    """Return the features (B, L, K, H) of candidates (B, L, K) int64 among those of proposals (B, P, H)."""
    scenes = torch.arange(len(features), device=features.device)[:, None, None]
    return features[scenes, candidates]
