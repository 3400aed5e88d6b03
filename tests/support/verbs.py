"""Running the command line inside a test."""

from __future__ import annotations

import os
import subprocess
import sys
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


def succeeds(*args: str) -> str:
    """Run a verb in this process, which must succeed -> stdout."""
    code, out, err = g3d(*args)
    assert code == 0, err
    return out


def launched(count: int, *args: str) -> str:
    """Run a verb in `count` processes of one thread each, which must succeed -> stdout."""
    launcher = [] if count == 1 else ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command = [sys.executable, *launcher, "-m", "g3d", *args]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout
