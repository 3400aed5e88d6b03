"""MonoDLE, with or without depth-discriminative metric learning, as the engine sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from g3d.data.files import atomic_write
from g3d.data.images.augment import draw_augmentation, no_augmentation
from g3d.data.images.image import image_size, read_image, warp_image
from g3d.data.images.user_images import UserImages
from g3d.data.kitti.prepared import PreparedDepth, open_prepared, raw_root
from g3d.data.kitti.raw import (
    KittiRoot,
    format_results,
    read_calibration,
    read_labels,
    read_labels_folder,
    read_results_folder,
)
from g3d.data.types import ImageBatch, ImageSample, Objects, Prediction
from g3d.errors import G3DError, InputError, MissingDataError
from g3d.metrics.kitti import evaluate
from g3d.metrics.table import Table
from g3d.nn.images import normalise
from g3d.nn.parameter_groups import no_decay_on_biases
from g3d.systems.base import ImportReport, InferRequest
from g3d.systems.monodle import official
from g3d.systems.monodle.config import Config
from g3d.systems.monodle.decode import decode
from g3d.systems.monodle.losses import losses as all_losses
from g3d.systems.monodle.model import MonoDLE
from g3d.systems.monodle.targets import MEAN_SIZES, Targets, depth_map_of_cars, encode


class Monodle:
    """The System of MonoDLE presets."""

    name = "monodle"
    takes_expressions = False
    carried = ()
    starts = ("model.backbone_weights",)

    def __init__(self) -> None:
        self.optimizers: dict[str, Any] = {}

    def layout(self, config: Config) -> torch.memory_format | None:
        return torch.channels_last if config.train.channels_last else None

    def build(self, config: Config) -> nn.Module:
        return MonoDLE(config.model.channels, config.model.head_channels, config.model.object_depth)

    def start(self, config: Config, model: nn.Module, root: Path, read: Callable[[Path], dict[str, Any]]) -> list[str]:
        weights = config.model.backbone_weights
        return [f"{weights}: {'; '.join(official.import_backbone(read(weights), model).lines())}"] if weights else []

    def import_official(self, checkpoint: Mapping[str, Any], model: nn.Module, config: Config) -> ImportReport:
        return official.import_official(checkpoint, model)

    def parameter_groups(self, model: nn.Module, config: Config) -> list[dict[str, Any]]:
        return no_decay_on_biases(model, config.optim.weight_decay)

    def dataset(self, config: Config, root: Path, split: str, training: bool) -> KittiFrames:
        return KittiFrames(config, root, split, training)

    def collate(self, samples: list[ImageSample]) -> ImageBatch:
        with_targets = samples[0].targets is not None
        return ImageBatch.stack(samples, Targets.stack([s.targets for s in samples]) if with_targets else None)

    def losses(self, model: nn.Module, batch: ImageBatch, config: Config) -> dict[str, Tensor]:
        outputs = model(_network_input(batch, config), batch.targets.cells)
        return all_losses(outputs, batch.targets, config.loss)

    def predict(self, model: MonoDLE, batch: ImageBatch, config: Config) -> list[Prediction]:
        settings = config.decode
        peaks, values = model.detect(_network_input(batch, config), settings.max_detections)
        means = MEAN_SIZES if config.model.mean_sizes else None
        found = decode(
            peaks,
            values,
            batch.cameras,
            batch.image_sizes,
            config.data.resolution,
            settings.threshold,
            settings.exact_inverse,
            means,
        )
        return [
            Prediction(frame, objects, image=path, image_size=size, camera=camera)
            for frame, objects, path, size, camera in zip(
                batch.ids, found, batch.paths, batch.image_sizes, batch.cameras, strict=True
            )
        ]

    def evaluator(self, config: Config | None, root: Path, split: str) -> KittiEvaluator:
        return KittiEvaluator(root, split, config.data.classes if config else None)

    def split_ids(self, root: Path, split: str) -> list[str]:
        return KittiRoot.find(raw_root(root)).split(split)

    def knows_data(self, root: Path) -> bool:
        try:
            folder = KittiRoot.find(raw_root(root)).folder
        except G3DError:
            return False
        return (folder / "image_2").is_dir() or (folder / "label_2").is_dir()

    def labels(self, root: Path, ids: Sequence[str]) -> Mapping[str, Objects]:
        kitti = KittiRoot.find(raw_root(root))
        return {frame: read_labels(kitti.label(frame)) for frame in ids if kitti.label(frame).is_file()}

    def blanks(self, root: Path, ids: Sequence[str]) -> list[Prediction]:
        kitti = KittiRoot.find(raw_root(root))
        return [
            Prediction(
                frame,
                Objects.empty(scored=True),
                image=str(kitti.image(frame)),
                image_size=image_size(kitti.image(frame)),
                camera=read_calibration(kitti.calibration(frame)),
            )
            for frame in ids
        ]

    def inputs(self, config: Config, request: InferRequest) -> UserImages:
        return UserImages(request, config.data.resolution)

    def write_native(
        self, predictions: Sequence[Prediction], folder: Path, full_precision: bool, root: Path | None
    ) -> list[Path]:
        written = []
        for prediction in predictions:
            path = folder / f"{prediction.sample}.txt"
            with atomic_write(path) as file:
                file.write(format_results(prediction.objects, None if full_precision else 2).encode())
            written.append(path)
        return written

    def knows_native(self, path: Path) -> bool:
        return path.is_dir() and any(file.stem.isdigit() for file in path.glob("*.txt"))

    def read_native(self, path: Path, ids: Sequence[str]) -> list[Prediction]:
        return [Prediction(frame, objects) for frame, objects in read_results_folder(path, ids).items()]


class KittiFrames:
    """A split of KITTI: images and cameras, and targets when training."""

    def __init__(self, config: Config, root: Path, split: str, training: bool) -> None:
        self.config = config
        self.kitti = KittiRoot.find(raw_root(root))
        self.ids = self.kitti.split(split)
        self.training = training
        self.depth: PreparedDepth | None = None
        if training and config.model.object_depth:
            self.depth = open_prepared(root)
            self.depth.check(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def sample(self, index: int, rng: np.random.Generator | None) -> ImageSample:
        frame = self.ids[index]
        data = self.config.data
        path = self.kitti.image(frame)
        pixels = read_image(path)
        size = (pixels.shape[1], pixels.shape[0])
        camera = read_calibration(self.kitti.calibration(frame))
        augmentation = no_augmentation(size) if rng is None else draw_augmentation(rng, size, self.config.augment)
        targets = None
        if self.training:
            rectangles = self.depth.frame(frame).of(cars_only=depth_map_of_cars(data)) if self.depth else None
            labels = read_labels(self.kitti.label(frame))
            targets = encode(labels, camera, size, augmentation, data, self.config.model.mean_sizes, rectangles)
        if augmentation.flip:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        transform = augmentation.transform(size, data.resolution)
        warped = torch.from_numpy(warp_image(pixels, transform, data.resolution)).permute(2, 0, 1)
        return ImageSample(frame, warped, size, camera, transform, targets, str(path))


class KittiEvaluator:
    """KITTI's AP over a split."""

    def __init__(self, root: Path, split: str, classes: Sequence[str] | None) -> None:
        kitti = KittiRoot.find(raw_root(root))
        self.ids = kitti.split(split)
        self.labels = read_labels_folder(kitti.folder / "label_2", self.ids)
        self.classes = classes
        self.found: dict[str, Objects] = {}

    def update(self, predictions: Sequence[Prediction]) -> None:
        for prediction in predictions:
            if prediction.sample in self.found:
                raise InputError(f"predictions: frame {prediction.sample} comes twice")
            self.found[prediction.sample] = prediction.objects

    def compute(self) -> Table:
        missing = [frame for frame in self.ids if frame not in self.found]
        if missing:
            raise MissingDataError(
                f"predictions: {len(missing)} of {len(self.ids)} frames of the split are missing (first: {missing[0]})",
                "a frame without detections needs an empty prediction; or evaluate another --split",
            )
        labels = [self.labels[frame] for frame in self.ids]
        found = [self.found[frame] for frame in self.ids]
        return evaluate(labels, found, self.classes).table()


def _network_input(batch: ImageBatch, config: Config) -> Tensor:
    return normalise(batch.images, config.train.channels_last)


SYSTEM = Monodle()
