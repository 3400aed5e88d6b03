"""`g3d infer`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from g3d.cli import output
from g3d.cli.options import Ckpt, Device, Forms, Json, Out, Preset, Settings, Unit, Up, formats

if TYPE_CHECKING:
    from g3d.data.types import Answer, Prediction


def infer(
    ckpt: Ckpt = None,
    image: Annotated[
        list[Path], typer.Option("--image", "-i", help="An image or a folder of images; may be repeated.")
    ] = [],  # noqa: B006
    scene: Annotated[
        list[Path],
        typer.Option(
            "--scene",
            help="A scan: PLY, OBJ, GLB, STL, OFF, XYZ, NPZ, LAS or LAZ file, prepared scene, raw scan's folder, "
            "<scene>_vert.npy; may be repeated.",
        ),
    ] = [],  # noqa: B006
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
    up: Up = "auto",
    unit: Unit = "auto",
    preset: Preset = None,
    settings: Settings = [],  # noqa: B006
    device: Device = "auto",
    out: Out = None,
    form: Forms = ["html"],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Run a model on your own images or scans: boxes and masks as text or JSON, and pictures.

    A detection model finds all objects of its classes; a grounding model finds the one that a sentence describes.

    Examples:

      g3d infer --ckpt RUN --image street.png --calib street.txt --out found

      g3d infer --ckpt RUN --image street.png --fov 80 --text "the white van" --text "the cyclist" --out found

      g3d infer --ckpt RUN --image photos/ --focal 1150 --json

      g3d infer --ckpt RUN --scene room.ply --text "the chair by the window" --out found

      g3d infer --ckpt RUN --scene scan.laz --unit mm --out found --format html --format glb
    """
    from g3d.data.files import require_writable
    from g3d.data.predictions import to_record
    from g3d.data.request import InferRequest
    from g3d.data.scannet.upright import Fit
    from g3d.data.text.sentences import read_sentences
    from g3d.engine.distributed import choose_device
    from g3d.engine.infer import infer as run
    from g3d.engine.infer import write_found
    from g3d.engine.model import load_model
    from g3d.errors import InputError

    if ckpt is None:
        raise InputError("g3d infer: which model?", "--ckpt RUN_OR_FILE")
    if maps and out is None:
        raise InputError("--maps: where do the pictures go?", "--out DIR")
    forms = formats(form)
    if forms != ("html",) and out is None:
        raise InputError("--format: where do the files go?", "--out DIR")
    if image and (other := [given for given in forms if given != "html"]):
        raise InputError(f"--format {other[0]}: is for --scene", "leave it away")
    expressions = (*text, *(read_sentences(texts) if texts else ()))
    request = InferRequest(tuple(image), calib, focal, fov, expressions, maps, tuple(scene), Fit(up, unit))
    loaded = load_model(ckpt, choose_device(device), preset, settings)
    if out:
        require_writable(out)
    found = run(loaded, request, output.progress())
    if out:
        from g3d.visualize.draw import visualize_predictions

        for path in (*write_found(loaded, found, out), *visualize_predictions(found, None, out, formats=forms)):
            output.say(f"wrote {path}")
    if as_json:
        output.emit({"schema": 2, "predictions": [to_record(prediction) for prediction in found]})
    else:
        _print(found)


def _print(found: Sequence[Prediction]) -> None:
    """Print each image or scene, or each sentence about it, with the objects that were found below it."""
    for prediction in found:
        lines = [line for answer in prediction.answers for line in _lines(answer)]
        about = f"{len(lines)} objects" if prediction.expression is None else f'"{prediction.expression}"'
        output.show(f"{prediction.source.path}: {about}")
        if not lines and prediction.expression is not None:
            lines = ["no such object"]
        for line in lines:
            output.show(f"  {line}")


def _lines(answer: Answer) -> list[str]:
    """Return one line for each object of an answer."""
    from g3d.data.types import CameraBoxes, ImageBoxes, PixelMask, PointMask, SceneBoxes

    if isinstance(answer, (PointMask, PixelMask)):
        count, what = int(answer.mask.sum()), "points" if isinstance(answer, PointMask) else "pixels"
        score = "" if answer.score is None else f"  score {answer.score:.2f}"
        return [f"{answer.name or 'mask':<11}{score}  {count:,} of {answer.mask.size:,} {what}"] if count else []
    lines = []
    for k in range(len(answer)):
        start = f"{answer.classes[k]:<11} " + ("" if answer.scores is None else f"score {answer.scores[k]:.2f}  ")
        if isinstance(answer, CameraBoxes):
            x, y, z = answer.locations[k]
            h, w, l = answer.sizes[k]  # noqa: E741
            left, top, right, bottom = answer.boxes2d[k]
            start += f"at x {x:.1f} y {y:.1f} z {z:.1f} m  size {h:.1f} x {w:.1f} x {l:.1f} m  "
            lines.append(
                f"{start}yaw {answer.rotation_y[k]:+.2f} rad  box {left:.0f} {top:.0f} {right:.0f} {bottom:.0f}"
            )
        elif isinstance(answer, SceneBoxes):
            x, y, z = answer.centers[k]
            dx, dy, dz = answer.sizes[k]
            turned = f"  yaw {answer.yaws[k]:+.2f} rad" if answer.yaws[k] else ""
            lines.append(f"{start}at x {x:.2f} y {y:.2f} z {z:.2f} m  size {dx:.2f} x {dy:.2f} x {dz:.2f} m{turned}")
        elif isinstance(answer, ImageBoxes):
            left, top, right, bottom = answer.boxes[k]
            lines.append(f"{start}box {left:.0f} {top:.0f} {right:.0f} {bottom:.0f}")
    return lines
