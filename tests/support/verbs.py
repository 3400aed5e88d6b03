"""Running the command line inside a test."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

from g3d.cli.app import app


def g3d(*args: str) -> tuple[int, str, str]:
    """Run a verb in this process -> exit code, stdout, stderr."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            app(list(args))
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue(), err.getvalue()


def refused(code: int, *args: str, says: tuple[str, ...], hint: str = "") -> None:
    """The verb ends with this code and one error line, which holds all of these words; the hint stands below it."""
    found, _, err = g3d(*args)
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert found == code, err
    assert len(errors) == 1, err
    assert "Traceback" not in err
    for words in says:
        assert words in errors[0], errors[0]
    assert hint in err
