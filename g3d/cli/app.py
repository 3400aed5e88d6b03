"""The command line: commands, global options, and the conversion of errors to one line and an exit code.

Exit codes: 0 ok, 1 failed, 2 usage or bad input, 3 missing data, 4 environment, 130 interrupted. Results go to stdout,
everything else to stderr. No command module imports torch before its command runs.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
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
from g3d.errors import EnvironmentProblem, G3DError

_UsageProblem: type[BaseException] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)  # depending on its version, typer uses its own copy of click's errors or those of click
_NO_FOLDER = ("the working directory no longer exists", "change to another folder")
_MACHINE: dict[int | None, str | None] = {
    errno.EPIPE: "the program that reads the output has ended",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "choose a folder on another disk",
    errno.EACCES: "check the owner and the permissions",
    errno.EPERM: "check the owner and the permissions",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close other programs",
    errno.EIO: "the disk or the network share is failing",
    errno.ESTALE: "the network share has changed: try again",
}
"""Hints by error number, for operating system errors that are not bugs."""


class Verbs(TyperGroup):
    """Command group that runs a command and converts the errors that it raises to messages and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            try:
                if not _has_working_directory():  # importing torch would end the process without a message
                    raise EnvironmentProblem(*_NO_FOLDER)
                result = super().invoke(ctx)
                sys.stdout.flush()  # now, because a full disk could not be reported at interpreter exit
                return result
            finally:
                output.end_progress()
        except (typer.Exit, typer.Abort, _UsageProblem):
            raise
        except KeyboardInterrupt:
            output.say("interrupted")
            raise typer.Exit(130) from None
        except Exception as error:
            problem = error if isinstance(error, G3DError) else _of_the_machine(error)
            if problem is None or ctx.params.get("traceback"):
                output.show_traceback(error)
            output.error(problem or _bug(error))
            raise typer.Exit(problem.exit_code if problem else 1) from None


def _bug(error: Exception) -> G3DError:
    """Return the error to show below the traceback of an unexpected exception."""
    return G3DError(
        f"unexpected {type(error).__name__}: {error}", "this is a bug: please report it with the lines above"
    )


def _of_the_machine(error: Exception) -> EnvironmentProblem | None:
    """Return the EnvironmentProblem for an OSError that is not a bug, and None for any other exception.

    Such an OSError has an error number in `_MACHINE`, or its cause is a deleted working directory.
    """
    if not isinstance(error, OSError):
        return None
    if isinstance(error, FileNotFoundError) and not _has_working_directory():
        return EnvironmentProblem(*_NO_FOLDER)
    if error.errno not in _MACHINE:
        return None
    if error.filename is None:
        _drop_output()
    where = "output" if error.filename is None else os.fsdecode(error.filename)
    return EnvironmentProblem(f"{where}: {error.strerror}", _MACHINE[error.errno])


def _has_working_directory() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _drop_output() -> None:
    """Redirect stdout to the null device, since Python would fail again when it flushes the buffered output at exit."""
    with suppress(OSError, ValueError):  # stdout has no file descriptor or is closed
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


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
    """Run the command line; this is the entry point of the console script."""
    # With this setting PyTorch aligns large tensors to huge pages and glibc reuses their freed memory, which reduces
    # the memory of training on a CPU by a quarter.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without Unicode shows escapes, not an error
    app()
