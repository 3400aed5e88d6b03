"""CLIP's patch tokens: the model's own preparation and last layer, where the grid lies on the image, and models that
cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import SHARED

from g3d.data.images.depth_image import to_metres
from g3d.data.scannet.sens import SensFile
from g3d.errors import InputError, MissingDataError
from g3d.nn.lift_features import PointFeatures, find_hits, grid_on_depth
from g3d.nn.patch_encoder import ClipPatchEncoder, ImagePreparation, PatchEncoder

transformers = pytest.importorskip("transformers")
REAL = SHARED / "data" / "real" / "rgbd_7scenes" / "seven_scenes_8frames.sens"
SIDE, PATCH, CHANNELS = 56, 14, 16
VISION = {
    "hidden_size": CHANNELS,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": PATCH,
}
SETTINGS = {
    "size": SIDE,
    "crop_size": SIDE,
    "do_resize": True,
    "do_center_crop": True,
    "do_normalize": True,
    "resample": 3,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def save(folder: Path, whole: bool = False) -> Path:
    """A tiny CLIP with random weights."""
    torch.manual_seed(0)
    if whole:
        text = {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "vocab_size": 49408,
        }
        transformers.CLIPModel(transformers.CLIPConfig(vision_config=VISION, text_config=text)).save_pretrained(folder)
    else:
        transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**VISION)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(SETTINGS))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def damaged(model: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 97, 130, 3), dtype=np.uint8)


def image_processor(folder: Path):
    """The one of transformers that uses Pillow, by its name in this release."""
    name = (
        "CLIPImageProcessorPil" if hasattr(transformers.models.clip, "CLIPImageProcessorPil") else "CLIPImageProcessor"
    )
    return getattr(transformers.models.clip, name).from_pretrained(folder)


@pytest.mark.parametrize("size", [(97, 130), (130, 97), (56, 56), (61, 200), (30, 40)])
def test_preparation_is_that_of_transformers(model: Path, size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = image_processor(model)(image, return_tensors="np")["pixel_values"][0]
    np.testing.assert_allclose(ImagePreparation.from_settings(SETTINGS, "here")(image), expected, atol=1e-6)


@pytest.mark.parametrize("whole", [False, True])
def test_tokens_are_the_last_layer_without_the_class_token(tmp_path: Path, images: np.ndarray, whole: bool) -> None:
    folder = save(tmp_path, whole)
    vision = transformers.CLIPVisionModel.from_pretrained(folder).eval()
    norm = getattr(vision, "vision_model", vision).post_layernorm
    with torch.no_grad():
        last = vision(
            pixel_values=torch.from_numpy(
                np.stack([ImagePreparation.from_settings(SETTINGS, "")(image) for image in images])
            )
        )
        expected = last.last_hidden_state[:, 1:]
        for final_norm, tokens in ((False, expected), (True, norm(expected))):
            encoder: PatchEncoder = ClipPatchEncoder.from_pretrained(folder, final_norm=final_norm, local_only=True)
            assert encoder.channels == CHANNELS
            torch.testing.assert_close(encoder.encode(images), tokens.reshape(2, 4, 4, CHANNELS), rtol=0, atol=1e-6)


def test_half_precision_gives_float32_features_near_to_them(model: Path, images: np.ndarray) -> None:
    precisions = (torch.float32, torch.bfloat16)
    whole, half = (
        ClipPatchEncoder.from_pretrained(model, final_norm=True, dtype=dtype).encode(images) for dtype in precisions
    )
    assert half.dtype == torch.float32
    assert (half - whole).abs().max() < 0.1 * whole.abs().max()


@pytest.mark.parametrize(("width", "height"), [(130, 97), (97, 130), (1296, 968), (640, 480), (56, 56)])
def test_layout_says_where_the_grid_lies(model: Path, width: int, height: int) -> None:
    """A picture that shows its own coordinates, prepared; the middle of every patch shows where the layout says it
    is."""
    across, down = np.meshgrid((np.arange(width) + 0.5) / width * 255, (np.arange(height) + 0.5) / height * 255)
    image = np.stack([across, down, down], -1).round().astype(np.uint8)
    encoder = ClipPatchEncoder.from_pretrained(model, final_norm=False)
    layout = encoder.layout(width, height)
    assert (layout.rows, layout.columns, layout.image_size) == (4, 4, (width, height))
    plain = ImagePreparation.from_settings({**SETTINGS, "do_normalize": False}, "")(image)
    patches = plain.reshape(3, 4, PATCH, 4, PATCH).mean((2, 4))
    left, top, right, bottom = layout.crop
    middle = (np.arange(4) + 0.5) / 4
    np.testing.assert_allclose(patches[0, 0], (left + middle * (right - left)) / width, atol=0.003)
    np.testing.assert_allclose(patches[1, :, 0], (top + middle * (bottom - top)) / height, atol=0.003)


def test_scannet_loses_an_eighth_on_either_side() -> None:
    settings = {**SETTINGS, "size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}
    left, top, right, bottom = ImagePreparation.from_settings(settings, "").crop_in_image(1296, 968)
    assert (top, bottom) == (0, 968)
    assert left == pytest.approx(56 / 449 * 1296)
    assert (right - left) / 1296 == pytest.approx(0.748, abs=1e-3)


def test_a_whole_picture_can_be_squeezed_in() -> None:
    settings = {**SETTINGS, "size": {"height": SIDE, "width": SIDE}, "do_center_crop": False}
    preparation = ImagePreparation.from_settings(settings, "")
    assert preparation.crop_in_image(130, 97) == (0, 0, 130, 97)
    assert preparation(np.zeros((97, 130, 3), np.uint8)).shape == (3, SIDE, SIDE)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image_std": [1, 1]}, "not enough values"),
        (
            {"size": {"longest_edge": 3}},
            "size, crop_size: expected a number, shortest_edge, or width and height, found",
        ),
        ({"do_center_crop": False}, "do_center_crop: expected true"),
        ({"rescale_factor": 1.0}, "rescale_factor: expected 1/255, found 1.0"),
        ({"resample": 77}, "77"),
    ],
)
def test_settings_that_are_not_understood(change: dict, says: str) -> None:
    with pytest.raises(InputError, match=f"here: preprocessor_config.json: .*{says}"):
        ImagePreparation.from_settings({**SETTINGS, **change}, "here")


@pytest.mark.skipif(not REAL.is_file(), reason="the real RGB-D frames are not here")
def test_points_of_a_real_frame_take_the_tokens_at_their_pixel(model: Path) -> None:
    with SensFile.open(REAL) as stream:
        image, depth = stream.colour(5), torch.from_numpy(to_metres(stream.depth(5), stream.header.depth_shift))
        camera, pose = (
            torch.from_numpy(matrix.astype(np.float64)) for matrix in (stream.header.depth_intrinsic, stream.pose(5))
        )
    encoder = ClipPatchEncoder.from_pretrained(model, final_norm=True)
    tokens, layout = encoder.encode(image[None])[0], encoder.layout(640, 480)
    pixels = (depth > 0).flatten().nonzero()[::41, 0]
    place = torch.stack([pixels % 640, pixels // 640], 1)
    local = (
        torch.linalg.inv(camera[:3, :3])
        @ torch.cat([place, torch.ones(len(place), 1)], 1).double().T
        * depth.flatten()[pixels]
    )
    points = (pose[:3, :3] @ local + pose[:3, 3:]).T.float()

    features = PointFeatures(len(points), CHANNELS)
    features.add(find_hits(points, depth, camera, pose, grid_on_depth(layout, (640, 480)), radius=1e-5), tokens)
    left, top, right, bottom = layout.crop
    where = (place + 0.5 - torch.tensor([left, top])) / torch.tensor([right - left, bottom - top]) * 2 - 1
    expected = F.grid_sample(
        tokens.permute(2, 0, 1)[None], where[None, None], padding_mode="border", align_corners=False
    )[0, :, 0].T
    seen = (where.abs() < 1).all(1)
    assert seen.sum() > 1000
    assert torch.equal(features.counts, seen.long())
    torch.testing.assert_close(features.means(), torch.where(seen[:, None], expected, 0), rtol=1e-4, atol=1e-4)


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _rewrite(name: str, old: str, new: str) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return rewrite


def _cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])


def _lose_a_layer(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    save_file(
        {key: value for key, value in weights.items() if "layers.1" not in key},
        folder / "model.safetensors",
        {"format": "pt"},
    )


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (_without("config.json"), MissingDataError, "no config.json in this folder"),
        (_without("preprocessor_config.json"), MissingDataError, "no preprocessor_config.json in this folder"),
        (
            _without("model.safetensors"),
            MissingDataError,
            r"no weights \(model.safetensors or pytorch_model.bin\) in this folder",
        ),
        (_rewrite("config.json", "clip_vision_model", "bert"), InputError, "model_type: found 'bert', expected clip"),
        (_rewrite("config.json", "{", ""), InputError, "config.json: not valid JSON"),
        (
            _rewrite("config.json", f'"image_size": {SIDE}', '"image_size": 42'),
            InputError,
            "have another shape in|its weights cannot be read",
        ),
        (
            _rewrite("preprocessor_config.json", f"{SIDE}", "42"),
            InputError,
            "gives images of 42 x 42 pixels, config.json asks for 56 x 56",
        ),
        (
            _rewrite("preprocessor_config.json", "image_mean", "mean"),
            InputError,
            "preprocessor_config.json: image_mean is missing",
        ),
        (_cut, InputError, "its weights cannot be read"),
        (_lose_a_layer, InputError, r"its weights lack 16 entries \(first: .*layers.1"),
    ],
)
def test_a_model_that_cannot_be_used_is_said_to_be(
    damaged: Path, damage: Callable, error: type[Exception], says: str
) -> None:
    damage(damaged)
    with pytest.raises(error, match=says):
        ClipPatchEncoder.from_pretrained(damaged, final_norm=True)


@pytest.mark.parametrize("name", ["/no/such/folder", "./clip", "models/clip/large", "openai/not-in-the-cache"])
def test_a_model_that_is_not_there(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        MissingDataError,
        match=f"{name}: (no such folder|neither a folder nor complete in the local cache, and --offline is set)",
    ) as raised:
        ClipPatchEncoder.from_pretrained(name, final_norm=True, local_only=True)
    assert "hf download" in str(raised.value.hint)
