"""The toy system: a word's embedding times a point's, for every point of the scene."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from g3d.data.scannet.user_scenes import UserScenes, read_points
from g3d.data.types import PointMask, Prediction, SceneSource
from g3d.systems.base import System, SystemDefaults
from g3d_toy.config import Config
from g3d_toy.rooms import DATASET


@dataclass(frozen=True)
class Sample:
    id: str
    source: SceneSource
    colours: torch.Tensor  # (P, 3)
    words: torch.Tensor  # (W,) int64
    expression: str
    target: torch.Tensor | None  # (P,)


@dataclass(frozen=True)
class Batch:
    groups: list[list[Sample]]

    def __len__(self):
        return sum(map(len, self.groups))

    def to(self, device):
        return self  # the network moves what it reads


class Toy(nn.Module):
    def __init__(self, config, channels=8):
        super().__init__()
        self.words = nn.EmbeddingBag(len(config.vocabulary) + 1, channels, mode="sum")
        self.points = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, channels))

    def forward(self, batch):
        device = self.words.weight.device
        scenes = [(group, self.points(group[0].colours.to(device))) for group in batch.groups]  # each scene once
        return [(s, scene @ self.words(s.words[None].to(device))[0]) for group, scene in scenes for s in group]


class Samples:
    drawn = 2

    def __init__(self, config, ids, sources, sentences, truth):
        self.words, self.truth = ("", *config.model.vocabulary), truth
        self.ids, self.sources, self.sentences = ids, sources, sentences

    def __len__(self):
        return len(self.ids)

    def group(self, index):
        return self.sources[index].name

    def read(self, indices, rng):
        colours = torch.from_numpy(read_points(Path(self.sources[indices[0]].path)).colours).float() / 255
        made = []
        for name, source, sentence in ((self.ids[k], self.sources[k], self.sentences[k]) for k in indices):
            words = [self.words.index(word) if word in self.words else 0 for word in sentence.lower().split()]
            target = torch.from_numpy(self.truth[name].mask).float() if name in self.truth else None
            made.append(Sample(name, source, colours, torch.tensor(words), sentence, target))
        return made


class ToySystem(SystemDefaults):
    name, takes, answers = "toy", frozenset({"scene", "expression"}), PointMask
    resolved = ("model.vocabulary",)

    def resolve(self, config, root):
        ids = DATASET.split_ids(root, config.data.train)
        sentences = " ".join(DATASET.expressions(root, config.data.train, ids).values())
        words = tuple(sorted(set(sentences.lower().split())))
        return config.model_copy(update={"model": config.model.model_copy(update={"vocabulary": words})})

    def build(self, config):
        return Toy(config.model)

    def samples(self, config, root, split, training):
        ids = DATASET.split_ids(root, split)
        truth = DATASET.truth(root, split, ids) if training else {}
        sources, sentences = DATASET.sources(root, split, ids), DATASET.expressions(root, split, ids)
        return Samples(config, ids, [sources[s] for s in ids], [sentences[s] for s in ids], truth)

    def collate(self, groups):
        return Batch(groups)

    def losses(self, model, batch, config, at):
        terms = [F.binary_cross_entropy_with_logits(logits, s.target.to(logits)) for s, logits in model(batch)]
        return {"mask": (mean := torch.stack(terms).mean()), "total": mean}

    def predict(self, model, batch, config):
        found = [(s, logits.sigmoid().cpu().numpy()) for s, logits in model(batch)]
        return [Prediction(s.id, s.source, (PointMask(p > 0.5, float(p.max())),), s.expression) for s, p in found]

    def inputs(self, config, request):
        own = UserScenes(request)
        sources = [own.sources[own.source(k)] for k in range(len(own))]
        return Samples(config, own.ids, sources, [own.expression(k) for k in range(len(own))], {})


SYSTEM: System[Config, Batch] = ToySystem()
