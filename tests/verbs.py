"""Running the command line inside a test."""

from __future__ import annotations

from typer.testing import CliRunner

from g3d.cli.app import app


def g3d(*args: str) -> tuple[int, str, str]:
    """Run a verb in this process -> exit code, stdout, stderr."""
    result = CliRunner().invoke(app, list(args))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr
