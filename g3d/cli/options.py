"""Options that several commands share, so that they have the same names, help and behaviour everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from g3d.visualize.scenes import Format


def _preset_names() -> list[str]:
    from g3d.config import preset_names

    return preset_names()


Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of the data set, raw or prepared.", show_default=False)
]
DataRequired = Annotated[
    Path, typer.Option("--data", help="Folder of the data set, raw or prepared.", show_default=False)
]
Ckpt = Annotated[
    Path | None,
    typer.Option(
        "--ckpt",
        help="Run directory, g3d checkpoint, or published checkpoint (then also --preset).",
        show_default=False,
    ),
]
Preset = Annotated[
    str | None, typer.Option("--preset", help="Preset name or file.", autocompletion=_preset_names, show_default=False)
]
Settings = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. optim.lr=1e-4; may be repeated.")
]
Split = Annotated[
    str | None,
    typer.Option("--split", help="Split name, or a file of ids; by default the preset's.", show_default=False),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
Up = Annotated[
    str,
    typer.Option(
        "--up", metavar="AXIS", help="With --scene: your file's axis that points up: x, y, z, -x, -y, -z or auto."
    ),
]
Unit = Annotated[str, typer.Option("--unit", help="With --scene: the unit of your file: m, cm, mm, ft, in or auto.")]
Forms = Annotated[list[str], typer.Option("--format", help="html, and for scenes also ply and glb; may be repeated.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Where to write.", show_default=False)]


def formats(forms: list[str]) -> tuple[Format, ...]:
    """Return the checked values of --format without duplicates.

    Raises:
        InputError: a value is not html, ply or glb.
    """
    from g3d.errors import InputError

    for form in forms:
        if form not in ("html", "ply", "glb"):
            raise InputError(f"--format {form}: expected html, ply or glb")
    return tuple(dict.fromkeys(forms))  # type: ignore[arg-type]  # checked above
