"""Networks that compute a grid of features from an image: the interface, and CLIP's image encoder.

Any class with this interface can replace CLIP where image features are lifted to points (g3d/nn/lift_features.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from g3d.errors import InputError
from g3d.nn import hub_folder

PUBLISHED_CLIP = "openai/clip-vit-large-patch14-336"
"""The encoder of IPDN's released features; 24 x 24 tokens of 1024 channels."""
CLIP_FILES = hub_folder.Layout(
    "CLIP encoder",
    {**hub_folder.CONFIG, "preprocessor_config.json": ("preprocessor_config.json",), **hub_folder.WEIGHTS},
    "--offline",
    f"`hf download {PUBLISHED_CLIP} --local-dir clip` where there is a network makes such a folder; copy it here and "
    f"name it",
)
"""The files of a CLIP model."""


@dataclass(frozen=True)
class PatchLayout:
    """The part of an image that a feature grid covers.

    Attributes:
        rows, columns: size of the grid.
        crop: left, top, right, bottom of the covered part, in pixels of the image, where the first pixel spans 0..1 in
            x and y. It may extend beyond the image.
        image_size: width and height of the image, pixels.
    """

    rows: int
    columns: int
    crop: tuple[float, float, float, float]
    image_size: tuple[int, int]


class PatchEncoder(Protocol):
    """A network that computes dense features of images."""

    @property
    def channels(self) -> int:
        """Number of feature channels C."""

    def layout(self, width: int, height: int) -> PatchLayout:
        """Return the position of the feature grid on an image of this size, without running the network."""

    def encode(self, images: np.ndarray) -> Tensor:
        """Return features (B, rows, columns, C) float32, on the encoder's device, of images (B, H, W, 3) uint8 RGB."""


class ClipPatchEncoder:
    """The patch tokens of a CLIP vision transformer: its last layer, without the class token, before the projection.

    Source: Radford et al. 2021, section 2.4. The image is prepared according to the model's own settings: usually the
    short side is resized, then the centre is cropped.

    Args:
        model: CLIPVisionModel of Hugging Face's transformers.
        preparation: preparation of an image.
        final_norm: apply the layer norm that CLIP applies to its class token (post_layernorm) to the patch tokens.
            Newer releases of OpenCLIP apply it, older ones do not; it is not known which of them made IPDN's released
            features.
    """

    def __init__(self, model: nn.Module, preparation: ImagePreparation, final_norm: bool) -> None:
        body: Any = getattr(model, "vision_model", model)  # nested before transformers 5
        self._model, self._preparation = model.eval(), preparation
        self._norm: nn.Module = body.post_layernorm if final_norm else nn.Identity()
        self._embedding: nn.Conv2d = body.embeddings.patch_embedding
        self.channels = self._embedding.out_channels
        self._side = preparation.crop[0] // self._embedding.kernel_size[0]

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = PUBLISHED_CLIP,
        *,
        final_norm: bool,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        local_only: bool = False,
    ) -> ClipPatchEncoder:
        """Return an encoder with the weights of a Hugging Face model: a whole CLIP or its vision model.

        Args:
            name: a folder with config.json, preprocessor_config.json and weights, or a name on the hub, `owner/model`
                or `owner/model@revision`; only files that the local cache lacks are downloaded.
            final_norm: see the class.
            device: device of the model.
            dtype: dtype of the computation; the features are always float32.
            local_only: never use the network.

        Raises:
            MissingDataError: there is no such folder, it lacks a file, or the model cannot be downloaded.
            InputError: the model is not a CLIP model, is damaged or incomplete, or its image settings do not fit it.
        """
        folder = hub_folder.locate(name, CLIP_FILES, local_only)
        config = hub_folder.read_json(folder / "config.json", CLIP_FILES.what)
        if config.get("model_type") not in ("clip", "clip_vision_model"):
            raise InputError(
                f"{name}: config.json: model_type: found {config.get('model_type')!r}, expected clip or "
                f"clip_vision_model",
                f"the published features were made with {PUBLISHED_CLIP}",
            )
        settings = hub_folder.read_json(folder / "preprocessor_config.json", CLIP_FILES.what)
        preparation = ImagePreparation.from_settings(settings, str(name))
        from transformers import CLIPVisionModel

        model: Any = hub_folder.load_pretrained(CLIPVisionModel, folder, CLIP_FILES.what)
        side = int(model.config.image_size)
        if preparation.crop != (side, side):
            raise InputError(
                f"{name}: preprocessor_config.json gives images of {preparation.crop[0]} x {preparation.crop[1]} "
                f"pixels, "
                f"config.json asks for {side} x {side}"
            )
        return cls(model.to(device, dtype), preparation, final_norm)

    def layout(self, width: int, height: int) -> PatchLayout:
        return PatchLayout(self._side, self._side, self._preparation.crop_in_image(width, height), (width, height))

    @torch.no_grad()
    def encode(self, images: np.ndarray) -> Tensor:
        weight = self._embedding.weight
        pixels = torch.from_numpy(np.stack([self._preparation(image) for image in images])).to(
            weight.device, weight.dtype
        )
        tokens = self._norm(self._model(pixel_values=pixels).last_hidden_state[:, 1:])
        return tokens.float().unflatten(1, (self._side, self._side))


@dataclass(frozen=True)
class ImagePreparation:
    """Conversion of an image to CLIP's input by the settings in preprocessor_config.json.

    Resizing uses Pillow, as the published code does.

    Attributes:
        resize: the short side after resizing, or width and height; None: not resized.
        crop: width and height of the centre crop that the network receives; black beyond the image.
        resample: Pillow's filter.
        mean, std: of red, green and blue in 0..1.
    """

    resize: int | tuple[int, int] | None
    crop: tuple[int, int]
    resample: Image.Resampling
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def from_settings(cls, settings: dict[str, Any], source: str) -> ImagePreparation:
        """Return the preparation described by the settings of a transformers image processor of any release.

        Args:
            settings: content of preprocessor_config.json.
            source: prefix of error messages.

        Raises:
            InputError: a setting is missing or not supported.
        """
        try:
            resize = _size(settings["size"]) if settings.get("do_resize", True) else None
            if settings.get("do_center_crop", True):
                crop = _size(settings["crop_size"])
                crop = (crop, crop) if isinstance(crop, int) else crop
            elif isinstance(resize, tuple):
                crop = resize
            else:
                raise ValueError(
                    "do_center_crop: expected true, or width and height in size: the network takes images of one size"
                )
            if not settings.get("do_rescale", True) or abs(settings.get("rescale_factor", 1 / 255) - 1 / 255) > 1e-9:
                raise ValueError(f"rescale_factor: expected 1/255, found {settings.get('rescale_factor')}")
            mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
            if settings.get("do_normalize", True):
                mean, std = _colour("image_mean", settings), _colour("image_std", settings)
            return cls(resize, crop, Image.Resampling(settings.get("resample", Image.Resampling.BICUBIC)), mean, std)
        except KeyError as error:
            raise InputError(f"{source}: preprocessor_config.json: {error.args[0]} is missing") from None
        except (TypeError, ValueError) as error:
            raise InputError(f"{source}: preprocessor_config.json: {error}") from None

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return an image (H, W, 3) uint8 RGB as (3, crop height, crop width) float32."""
        height, width = image.shape[:2]
        picture = Image.fromarray(image)
        size = self._resized(width, height)
        if size != picture.size:
            picture = picture.resize(size, self.resample)
        left, top = self._corner(size)
        pixels = np.asarray(
            picture.crop((left, top, left + self.crop[0], top + self.crop[1])), np.float32
        ) / np.float32(255)
        return ((pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)).transpose(2, 0, 1)

    def crop_in_image(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return left, top, right, bottom of the crop of an image of this size, in pixels of the image."""
        size = self._resized(width, height)
        left, top = self._corner(size)
        x, y = width / size[0], height / size[1]
        return left * x, top * y, (left + self.crop[0]) * x, (top + self.crop[1]) * y

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        if self.resize is None:
            return width, height
        if isinstance(self.resize, tuple):
            return self.resize
        short = min(width, height)
        return (self.resize * width // short, self.resize * height // short)

    def _corner(self, size: tuple[int, int]) -> tuple[int, int]:
        return (size[0] - self.crop[0]) // 2, (size[1] - self.crop[1]) // 2


def _size(value: Any) -> int | tuple[int, int]:
    """Return a short side, or width and height, from any of the forms that transformers has used."""
    if isinstance(value, int):
        return value
    if isinstance(value, dict) and set(value) == {"shortest_edge"}:
        return int(value["shortest_edge"])
    if isinstance(value, dict) and set(value) == {"width", "height"}:
        return int(value["width"]), int(value["height"])
    raise ValueError(f"size, crop_size: expected a number, shortest_edge, or width and height, found {value}")


def _colour(name: str, settings: dict[str, Any]) -> tuple[float, float, float]:
    red, green, blue = map(float, settings[name])
    return red, green, blue
