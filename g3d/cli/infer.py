"""`g3d infer`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from g3d.cli import output
from g3d.cli.options import Ckpt, Device, Json, Out, Preset, Settings

if TYPE_CHECKING:
    from g3d.data.types import Prediction


def infer(
    image: Annotated[
        list[Path], typer.Option("--image", "-i", help="An image or a folder of images; may be repeated.")
    ],
    ckpt: Ckpt = None,
    text: Annotated[
        list[str],
        typer.Option(
            "--text", "-t", help="Sentence that describes one object; asked about every image; may be repeated."
        ),
    ] = [],  # noqa: B006
    texts: Annotated[
        Path | None, typer.Option("--texts", help="File of such sentences, one a line.", show_default=False)
    ] = None,
    calib: Annotated[
        Path | None, typer.Option("--calib", help="KITTI calibration file, or a folder with one for each image.")
    ] = None,
    focal: Annotated[
        float | None, typer.Option("--focal", help="Focal length in pixels, where there is no calibration.")
    ] = None,
    fov: Annotated[
        float | None, typer.Option("--fov", help="Horizontal field of view in degrees, where there is no calibration.")
    ] = None,
    maps: Annotated[
        bool, typer.Option("--maps", help="Also draw what the network looked at: regions and depth.")
    ] = False,
    preset: Preset = None,
    settings: Settings = [],  # noqa: B006
    device: Device = "auto",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Run a model on your own images: 3D boxes as text or JSON, and pictures.

    A detection model finds all objects of its classes; a grounding model finds the one that a sentence describes.

    Examples:

      g3d infer --ckpt RUN --image street.png --calib street.txt --out found

      g3d infer --ckpt RUN --image street.png --fov 80 --text "the white van" --text "the cyclist" --out found

      g3d infer --ckpt RUN --image photos/ --focal 1150 --json
    """
    from g3d.data.files import require_writable
    from g3d.data.images.user_images import read_expressions
    from g3d.data.predictions import to_record, write_predictions
    from g3d.engine.distributed import choose_device
    from g3d.engine.infer import infer as run
    from g3d.engine.model import load_model
    from g3d.errors import InputError
    from g3d.systems.base import InferRequest

    if ckpt is None:
        raise InputError("g3d infer: which model?", "--ckpt RUN_OR_FILE")
    if maps and out is None:
        raise InputError("--maps: where do the pictures go?", "--out DIR")
    expressions = (*text, *(read_expressions(texts) if texts else ()))
    request = InferRequest(tuple(image), calib, focal, fov, expressions, maps)
    loaded = load_model(ckpt, choose_device(device), preset, settings)
    if out:
        require_writable(out)
    found = run(loaded, request, output.progress())
    if out:
        from g3d.visualize.draw import visualize_predictions

        write_predictions(out / "predictions.jsonl", found)
        loaded.system.write_native(found, out / "kitti", True, None)
        for path in visualize_predictions(found, None, out):
            output.say(f"wrote {path}")
    if as_json:
        output.emit({"schema": 1, "predictions": [to_record(prediction) for prediction in found]})
    else:
        _print(found)


def _print(found: Sequence[Prediction]) -> None:
    """Each image, or each sentence about it, and below it what was found."""
    for prediction in found:
        about = f"{len(prediction.objects)} objects" if prediction.expression is None else f'"{prediction.expression}"'
        typer.echo(f"{prediction.image}: {about}")
        for one in prediction.objects:
            assert one.scores is not None
            x, y, z = one.locations[0]
            h, w, l = one.sizes[0]  # noqa: E741
            left, top, right, bottom = one.boxes2d[0]
            typer.echo(
                f"  {one.classes[0]:<11} score {one.scores[0]:.2f}  at x {x:.1f} y {y:.1f} z {z:.1f} m"
                f"  size {h:.1f} x {w:.1f} x {l:.1f} m  yaw {one.rotation_y[0]:+.2f} rad"
                f"  box {left:.0f} {top:.0f} {right:.0f} {bottom:.0f}"
            )
