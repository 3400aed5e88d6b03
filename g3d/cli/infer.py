"""`g3d infer`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g3d.cli import output
from g3d.cli.options import Ckpt, Device, Json, Out, Preset, Settings


def infer(
    image: Annotated[list[Path], typer.Option("--image", "-i", help="An image or a folder of images; may be repeated.")],
    ckpt: Ckpt = None,
    calib: Annotated[Path | None, typer.Option("--calib", help="KITTI calibration file, or a folder with one for each image.")] = None,
    focal: Annotated[float | None, typer.Option("--focal", help="Focal length in pixels, where there is no calibration.")] = None,
    preset: Preset = None,
    settings: Settings = [],  # noqa: B006
    device: Device = "auto",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Run a model on your own images: 3D boxes as JSON and KITTI lines, and pictures.

    Examples:

      g3d infer --ckpt RUN --image street.png --calib street.txt --out found

      g3d infer --ckpt RUN --image photos/ --focal 1150 --json
    """
    from g3d.data.predictions import to_record, write_predictions
    from g3d.engine.distributed import choose_device
    from g3d.engine.infer import infer as run
    from g3d.engine.model import load_model
    from g3d.errors import InputError
    from g3d.systems.base import InferRequest

    if ckpt is None:
        raise InputError("g3d infer: which model?", "--ckpt RUN_OR_FILE")
    if (calib is None) == (focal is None):
        raise InputError("g3d infer: give either --calib or --focal", "a phone's focal length in pixels is about 0.8 x the image's width")
    if focal is not None and not 0 < focal < float("inf"):
        raise InputError(f"--focal {focal:g}: expected a focal length in pixels, above 0")
    loaded = load_model(ckpt, choose_device(device), preset, settings)
    found = run(loaded, InferRequest(tuple(image), calib, focal), output.progress())
    if out:
        from g3d.visualize.draw import visualize_predictions

        write_predictions(out / "predictions.jsonl", found)
        loaded.system.write_native(found, out / "kitti", True, None)
        for path in visualize_predictions(found, None, out):
            output.say(f"wrote {path}")
    if as_json:
        output.emit({"schema": 1, "predictions": [to_record(prediction) for prediction in found]})
        return
    for prediction in found:
        typer.echo(f"{prediction.image}: {len(prediction.objects)} objects")
        for one in prediction.objects:
            assert one.scores is not None
            x, y, z = one.locations[0]
            h, w, l = one.sizes[0]  # noqa: E741
            typer.echo(f"  {one.classes[0]:<11} score {one.scores[0]:.2f}  at x {x:.1f} y {y:.1f} z {z:.1f} m"
                       f"  size {h:.1f} x {w:.1f} x {l:.1f} m  yaw {one.rotation_y[0]:+.2f} rad")  # fmt: skip
