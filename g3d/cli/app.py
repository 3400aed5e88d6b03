"""The command line: verbs, global options, and how errors become one line and an exit code.

Exit codes: 0 ok, 1 failed, 2 usage or bad input, 3 missing data, 4 environment, 130 interrupted. Results go to stdout,
all else to stderr. No verb's module imports torch before the verb runs.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from g3d import __version__
from g3d.cli import output
from g3d.cli.demo import demo
from g3d.cli.doctor import doctor
from g3d.cli.evaluate import evaluate
from g3d.cli.infer import infer
from g3d.cli.prepare import prepare
from g3d.cli.presets import presets
from g3d.cli.train import train
from g3d.cli.visualize import visualize
from g3d.errors import G3DError


class Verbs(TyperGroup):
    """Runs a verb and turns what it raises into an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            try:
                return super().invoke(ctx)
            finally:
                output.end_progress()
        except G3DError as error:
            if ctx.params.get("traceback"):
                raise
            output.error(error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            output.say("interrupted")
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of stdout went away: not an error of ours
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Grounding language in 3D: published systems from raw data to the published table.",
    epilog="Start with [bold]g3d demo[/bold]: a small world, the whole way, a page to look at.",
)
app.add_typer(prepare, name="prepare")
app.command()(train)
app.command("eval")(evaluate)
app.command()(infer)
app.command()(visualize)
app.add_typer(presets, name="presets")
app.command()(doctor)
app.command()(demo)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"g3d {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only warnings and errors on stderr, no progress.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="More detail on stderr.")] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", envvar="G3D_TRACEBACK", help="Show the traceback of an error.")
    ] = False,
) -> None:
    output.set_up(quiet, verbose)


def main() -> None:
    """The console script."""
    # PyTorch then aligns large tensors to huge pages, and glibc reuses their freed memory: a quarter less of it in
    # training on a CPU
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    app()
