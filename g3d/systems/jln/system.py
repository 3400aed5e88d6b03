"""JLN and Mono3DVG-TR as the engine sees them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from g3d.data.images.augment import Augmentation, no_augmentation
from g3d.data.images.image import image_size, read_image
from g3d.data.images.user_images import UserImages
from g3d.data.mono3drefer.folder import INDEX, Mono3DReferRoot
from g3d.data.mono3drefer.raw import EXPRESSIONS_FILE, Expression
from g3d.data.types import ImageBatch, ImageSample, Objects, Prediction
from g3d.errors import InputError, MissingDataError
from g3d.metrics.grounding import grounding_table
from g3d.metrics.table import Table
from g3d.nn.images import normalise
from g3d.nn.parameter_groups import no_decay_on_biases
from g3d.nn.weights import errors_name
from g3d.systems.base import ImportReport, InferRequest
from g3d.systems.jln import official, results
from g3d.systems.jln.config import Config
from g3d.systems.jln.decode import decode
from g3d.systems.jln.depth_predictor import Depth
from g3d.systems.jln.losses import losses as all_losses
from g3d.systems.jln.maps import image_maps
from g3d.systems.jln.model import JLN, Encoded, Outputs
from g3d.systems.jln.optimizer import adamw_scaled_decay
from g3d.systems.jln.samples import augmented, make_sample, warped_image
from g3d.systems.jln.targets import Targets

log = logging.getLogger(__name__)
_AT_ONCE = 16  # sentences that a picture of 1280 x 384 pixels may be asked together within a few GB


class Jln:
    """The System of JLN presets."""

    name = "jln"
    takes_expressions = True
    carried = ("text.encoder", "text.architecture")
    starts = ("model.start_weights", "model.backbone.weights")

    def __init__(self) -> None:
        self.optimizers = {"adamw_scaled_decay": adamw_scaled_decay}

    def layout(self, config: Config) -> torch.memory_format | None:
        return torch.channels_last if config.train.channels_last else None

    def build(self, config: Config) -> nn.Module:
        model = JLN(config.model, config.text)
        if config.text.cache is not None:
            model.text_encoder.cache_in(config.text.cache)
        return model

    def start(self, config: Config, model: nn.Module, root: Path, read: Callable[[Path], dict[str, Any]]) -> list[str]:
        assert isinstance(model, JLN)
        model.text_encoder.load(_encoder(config, root), config.text.offline)
        said = [f"sentences are encoded by {_encoder(config, root)}"]
        if config.model.backbone.weights:
            content = read(config.model.backbone.weights)
            with errors_name(config.model.backbone.weights):
                report = official.import_backbone(content, model)
            said.append(f"{config.model.backbone.weights}: {'; '.join(report.lines())}")
        if config.model.start_weights:
            content = read(config.model.start_weights)
            with errors_name(config.model.start_weights):
                report = official.import_start(content, model)
            said.append(f"{config.model.start_weights}: {'; '.join(report.lines())}")
        return said

    def import_official(self, checkpoint: Mapping[str, Any], model: nn.Module, config: Config) -> ImportReport:
        assert isinstance(model, JLN)
        report = official.import_official(checkpoint, model)
        model.text_encoder.load_tokenizer(
            config.text.encoder, config.text.offline
        )  # published files hold the network only
        return report

    def parameter_groups(self, model: nn.Module, config: Config) -> list[dict[str, Any]]:
        return no_decay_on_biases(model, config.optim.weight_decay)

    def dataset(self, config: Config, root: Path, split: str, training: bool) -> Expressions:
        several = training and config.data.sentences > 1
        return SeveralExpressions(config, root, split) if several else Expressions(config, root, split, training)

    def collate(self, samples: list[Any]) -> ImageBatch:
        if isinstance(samples[0], list):
            samples = [sample for together in samples for sample in together]
        with_targets = samples[0].targets is not None
        return ImageBatch.stack(samples, Targets.stack([s.targets for s in samples]) if with_targets else None)

    def losses(self, model: nn.Module, batch: ImageBatch, config: Config) -> dict[str, Tensor]:
        guide = batch.targets.regions if config.model.reference == "regions" else None
        images, cameras, sizes = _inputs(batch, config)
        outputs: Outputs = model(images, batch.image_of, cameras, sizes, batch.expressions, guide)
        return all_losses(outputs, batch.targets, config.loss, config.model.max_depth)

    def predict(self, model: nn.Module, batch: ImageBatch, config: Config) -> list[Prediction]:
        assert isinstance(model, JLN)
        pixels, cameras, sizes = _inputs(batch, config)
        encoded, image_of = model.encode(pixels), _image_of(batch)
        sentences = cast("tuple[str, ...]", batch.expressions)
        found: list[Objects] = []
        maps: list[Mapping[str, np.ndarray] | None] = []
        for start in range(0, len(batch), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            images, own = (encoded, None) if image_of is None else _of_images(encoded, image_of[part])
            outputs = model.ground(images, own, cameras[part], sizes[part], sentences[part])
            resolution, image_sizes = config.data.resolution, batch.image_sizes[part]
            found += decode(outputs, batch.cameras[part], image_sizes, resolution, config.decode.exact_inverse)
            if config.decode.maps:
                maps += image_maps(outputs, batch.transforms[part], image_sizes, resolution)
        return [
            Prediction(sample, objects, expression, path, size, camera, seen)
            for sample, objects, expression, path, size, camera, seen in zip(
                batch.ids,
                found,
                sentences,
                batch.paths,
                batch.image_sizes,
                batch.cameras,
                maps or [None] * len(batch),
                strict=True,
            )
        ]

    def evaluator(self, config: Config | None, root: Path, split: str) -> GroundingEvaluator:
        return GroundingEvaluator(root, split)

    def split_ids(self, root: Path, split: str) -> list[str]:
        return Mono3DReferRoot.find(root).expressions(split).ids()

    def knows_data(self, root: Path) -> bool:
        return (root / EXPRESSIONS_FILE).is_file() or (root / INDEX).is_file()

    def labels(self, root: Path, ids: Sequence[str]) -> Mapping[str, Objects]:
        return {sample: expression.objects for sample, expression in Mono3DReferRoot.find(root).by_id(ids).items()}

    def blanks(self, root: Path, ids: Sequence[str]) -> list[Prediction]:
        data = Mono3DReferRoot.find(root)
        known = data.by_id(ids)
        blanks = []
        for sample in ids:
            if sample not in known:
                raise MissingDataError(
                    f"Mono3DRefer {root}: no expression {sample!r}", "ids are <image>_<instanceID>_<ann_id>"
                )
            expression = known[sample]
            path = data.image_path(expression.image)
            blanks.append(
                Prediction(
                    sample,
                    Objects.empty(scored=True),
                    expression.sentence,
                    str(path),
                    image_size(path),
                    data.calibration(expression.image),
                )
            )
        return blanks

    def inputs(self, config: Config, request: InferRequest) -> UserImages:
        return UserImages(request, config.data.resolution)

    def write_native(
        self, predictions: Sequence[Prediction], folder: Path, full_precision: bool, root: Path | None
    ) -> list[Path]:
        if root is None:
            return []  # the published file holds labels beside predictions
        known = Mono3DReferRoot.find(root).by_id([p.sample for p in predictions])
        path = folder / results.FILE
        results.write_results(path, predictions, [known[p.sample] for p in predictions])
        return [path]

    def knows_native(self, path: Path) -> bool:
        return results.is_result_file(_result_file(path))

    def read_native(self, path: Path, ids: Sequence[str]) -> list[Prediction]:
        return results.read_results(_result_file(path), ids)


class Expressions:
    """The expressions of a Mono3DRefer split, each with its image; targets when training."""

    def __init__(self, config: Config, root: Path, split: str, training: bool) -> None:
        self.config = config
        self.data = Mono3DReferRoot.find(root)
        self.expressions = self.data.expressions(split)
        self.ids = self.expressions.ids()
        self.training = training
        self._last: tuple[str, _Picture] | None = None
        self._scenes = self.expressions.scenes() if training and config.data.depth_map == "scene" else {}

    def __len__(self) -> int:
        return len(self.ids)

    def sample(self, index: int, rng: np.random.Generator | None) -> Any:
        expression = self.expressions[index]
        return self._about(expression, self._picture(expression.image, rng))

    def _about(self, expression: Expression, picture: _Picture) -> ImageSample:
        return make_sample(
            picture.image,
            picture.size,
            picture.camera,
            expression,
            picture.augmentation,
            self.config,
            self.training,
            str(picture.path),
            self._scenes.get(expression.image),
        )

    def _picture(self, name: str, rng: np.random.Generator | None) -> _Picture:
        return self._whole(name) if rng is None else self._augmented(name, rng)

    def _whole(self, name: str) -> _Picture:
        """Expressions about an image follow one another, so its pixels are kept, and shared by the samples of a
        batch."""
        if self._last is None or self._last[0] != name:
            pixels = read_image(self.data.image_path(name))
            self._last = (name, self._warped(name, pixels, no_augmentation((pixels.shape[1], pixels.shape[0]))))
        return self._last[1]

    def _augmented(self, name: str, rng: np.random.Generator) -> _Picture:
        return self._warped(name, *augmented(read_image(self.data.image_path(name)), rng, self.config.augment))

    def _warped(self, name: str, pixels: np.ndarray, augmentation: Augmentation) -> _Picture:
        size = (pixels.shape[1], pixels.shape[0])
        image = warped_image(pixels, augmentation, self.config.data.resolution)
        return _Picture(self.data.image_path(name), size, self.data.calibration(name), augmentation, image)


class SeveralExpressions(Expressions):
    """For training: an epoch has each image once, with `data.sentences` of its sentences, drawn anew each time."""

    def __init__(self, config: Config, root: Path, split: str) -> None:
        super().__init__(config, root, split, training=True)
        rows: dict[str, list[int]] = {}
        for row, image in enumerate(self.expressions.frames()):
            rows.setdefault(image, []).append(row)
        self.ids, self._rows = list(rows), list(rows.values())

    def sample(self, index: int, rng: np.random.Generator | None) -> list[ImageSample]:
        rows, count = self._rows[index], self.config.data.sentences
        chosen = rows[:count] if rng is None else rng.permutation(rows)[:count]
        picture = self._picture(self.ids[index], rng)
        return [self._about(self.expressions[int(row)], picture) for row in chosen]


@dataclass(frozen=True, eq=False)
class _Picture:
    """An image as the network gets it."""

    path: Path
    size: tuple[int, int]
    camera: np.ndarray
    augmentation: Augmentation
    image: Tensor


class GroundingEvaluator:
    """Accuracy of grounded boxes over a split, with its groups where the split is in the data set's group file."""

    def __init__(self, root: Path, split: str) -> None:
        data = Mono3DReferRoot.find(root)
        self.expressions = data.expressions(split)
        self.groups = data.groups()
        self.found: dict[str, Prediction] = {}

    def update(self, predictions: Sequence[Prediction]) -> None:
        for prediction in predictions:
            if prediction.sample in self.found:
                raise InputError(f"predictions: expression {prediction.sample} comes twice")
            self.found[prediction.sample] = prediction

    def compute(self) -> Table:
        missing = [e.id for e in self.expressions if e.id not in self.found]
        if missing:
            raise MissingDataError(
                f"predictions: {len(missing)} of {len(self.expressions)} expressions of the split are missing "
                f"(first: {missing[0]})",
                "evaluate another --split, or predict them all",
            )
        asked = [(e.id, e.sentence, self.found[e.id].expression) for e in self.expressions]
        other = [
            name
            for name, sentence, answered in asked
            if answered is not None and answered.strip().lower() != sentence.lower()
        ]
        if other:
            log.warning(
                "predictions: %d of %d answer another sentence than the data set's (first: %s)",
                len(other),
                len(asked),
                other[0],
            )
        return grounding_table(
            [self.found[e.id].objects for e in self.expressions],
            [e.objects for e in self.expressions],
            [e.instance for e in self.expressions],
            self.groups,
        )


def _of_images(encoded: Encoded, image_of: Tensor) -> tuple[Encoded, Tensor]:
    """Those images alone that some samples are about, and which of them each sample is about."""
    used, own = image_of.unique(return_inverse=True)
    if len(used) == len(encoded.maps[0]):
        return encoded, image_of
    return Encoded([level[used] for level in encoded.maps], Depth(*(part[used] for part in encoded.depth))), own


def _image_of(batch: ImageBatch) -> Tensor | None:
    """The image of each sample; None where each has its own and all are asked at once."""
    if batch.image_of is None and len(batch) > _AT_ONCE:
        return torch.arange(len(batch), device=batch.images.device)
    return batch.image_of


def _inputs(batch: ImageBatch, config: Config) -> tuple[Tensor, Tensor, Tensor]:
    """The network's images, cameras and image sizes."""
    device = batch.images.device
    cameras = torch.tensor(np.stack(batch.cameras), dtype=torch.float32, device=device)
    sizes = torch.tensor(batch.image_sizes, dtype=torch.float32, device=device)
    return normalise(batch.images, config.train.channels_last), cameras, sizes


def _encoder(config: Config, root: Path) -> str:
    """The text encoder's name or folder; one inside the data set's folder is found by its name."""
    inside = root / config.text.encoder
    return str(inside) if inside.is_dir() else config.text.encoder


def _result_file(path: Path) -> Path:
    return path / results.FILE if path.is_dir() else path


SYSTEM = Jln()
