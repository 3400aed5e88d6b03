"""`g3d presets`: list, show and copy the published configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g3d.cli import output
from g3d.cli.options import Json, Settings, _preset_names

presets = typer.Typer(help="List, show and copy the published configurations.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Preset name or file.", autocompletion=_preset_names)]


@presets.command("list")
def list_presets(as_json: Json = False) -> None:
    """One line for each preset; those that cannot be used are named at the end, with exit code 1.

    Example: g3d presets list
    """
    from g3d import config
    from g3d.errors import G3DError

    found, broken = {}, []
    for name in config.preset_names():
        try:
            found[name] = config.load(name)
        except G3DError as error:
            broken.append(error)
    if as_json:
        output.emit(
            [
                {"name": name, "system": c.system, "dataset": c.data.dataset, "description": c.description}
                for name, c in found.items()
            ]
        )
    else:
        width = max(map(len, found))
        for name, preset in found.items():
            output.show(f"{name:{width}}  {preset.description}")
    for problem in broken:
        output.error(problem)
    if broken:
        raise typer.Exit(1)


@presets.command()
def show(name: Name, settings: Settings = [], as_json: Json = False) -> None:  # noqa: B006
    """The whole configuration, resolved and checked.

    Examples:

      g3d presets show monodle-ddml

      g3d presets show monodle-ddml --set train.batch=8
    """
    from g3d import config

    resolved = config.load(name, settings)
    if as_json:
        output.emit(resolved.model_dump(mode="json"))
    else:
        typer.echo(resolved.to_yaml(), nl=False)


@presets.command()
def copy(name: Name, file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")]) -> None:
    """A preset's own text, comments included, to edit and pass as --preset FILE.

    Example: g3d presets copy monodle-ddml mine.yaml
    """
    from g3d import config
    from g3d.errors import EnvironmentProblem, InputError

    text = config.preset_text(name)
    try:
        with file.open("x", encoding="utf-8") as handle:
            handle.write(text)
    except FileExistsError:
        raise InputError(f"{file}: is already there", "choose another name") from None
    except OSError as error:
        raise EnvironmentProblem(f"{file}: cannot be written: {error.strerror}") from None
    output.say(f"wrote {file}")
