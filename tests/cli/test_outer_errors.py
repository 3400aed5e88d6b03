"""The outermost handler reports errors in one line, and text from data has no effect on the terminal."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import paths
from support.verbs import g3d

from g3d.cli import output
from g3d.cli.infer import _print
from g3d.data.boundary import reading
from g3d.data.types import PointMask, Prediction, SceneSource
from g3d.errors import InputError
from g3d.metrics.table import Row, Table

COMMAND = [sys.executable, "-m", "g3d"]
NASTY = "a\x1b[2J\nerror: b\u202e[red]"


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def check() -> Any:
        raise error

    monkeypatch.setattr("g3d.doctor.examine", check)


def run(monkeypatch: pytest.MonkeyPatch, error: BaseException, *options: str) -> tuple[int, str, str]:
    failing(monkeypatch, error)
    return g3d(*options, "doctor")


def test_a_bug_is_shown_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (ValueError(NASTY), EOFError(), FileNotFoundError(errno.ENOENT, "No such file or directory", "x")):
        code, out, err = run(monkeypatch, error)
        assert (code, out) == (1, "")
        assert "Traceback (most recent call last)" in err
        assert err.splitlines()[-2].startswith(f"error: unexpected {type(error).__name__}: ")
        assert "\x1b" not in err
        assert "\u202e" not in err


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/data/x"), "error: /data/x: Permission denied"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "y" * 20), f"error: {'y' * 20}: File name too long"),
        (OSError(errno.ENOSPC, "No space left on device"), "error: output: No space left on device"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "error: output: Broken pipe"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, OSError) else "",
)
def test_a_fault_of_the_machine_is_one_line(monkeypatch: pytest.MonkeyPatch, error: OSError, says: str) -> None:
    code, _, err = run(monkeypatch, error)
    assert code == 4
    assert says in err.splitlines()
    assert "Traceback" not in err
    code, _, err = run(monkeypatch, error, "--traceback")
    assert code == 4
    assert "Traceback" in err


def test_traceback_shows_the_original_and_keeps_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError) as caught, reading("a.json", "label"):
        json.loads("{")
    code, _, err = run(monkeypatch, caught.value, "--traceback")
    assert code == 2
    assert "JSONDecodeError" in err
    assert "error: label a.json: damaged: " in err
    code, _, err = run(monkeypatch, caught.value)
    assert code == 2
    assert "Traceback" not in err


def test_a_full_output_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "presets", "list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 4
    assert done.stderr.splitlines()[0] == "error: output: No space left on device"
    assert "Exception ignored" not in done.stderr


def test_a_reader_that_went_away_is_one_line() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*COMMAND, "presets", "list"], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.returncode == 4
    assert done.stderr.splitlines()[0] == "error: output: Broken pipe"
    assert "Exception ignored" not in done.stderr


def test_a_deleted_working_directory_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    script = f"cd {folder} && rmdir {folder} && exec {sys.executable} -m g3d prepare kitti --data x --out y"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[0] == "error: the working directory no longer exists"
    assert done.returncode == 4


def test_a_working_directory_that_is_deleted_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def examine() -> None:
        folder.rmdir()
        Path("x").absolute()

    monkeypatch.setattr("g3d.doctor.examine", examine)
    code, _, err = g3d("doctor")
    monkeypatch.chdir(tmp_path)
    assert code == 4
    assert err.splitlines()[0] == "error: the working directory no longer exists"


def test_control_characters_of_data_reach_no_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    code, _, err = run(monkeypatch, InputError(f"{NASTY}: odd", NASTY))
    assert code == 2
    assert err.splitlines() == [
        "error: a\\x1b[2J\\nerror: b\\u202e[red]: odd",
        "       a\\x1b[2J\\nerror: b\\u202e[red]",
    ]
    output.set_up(quiet=False, verbose=False)
    output.say(NASTY)
    logging.getLogger("g3d.data").warning("%s", NASTY)
    bar = output.progress()
    bar.begin(NASTY, 1)
    bar.advance(note=NASTY)
    bar.end()
    table = Table(NASTY, ("AP",), (Row(NASTY, (1.0,)),), {}, (NASTY,))
    output.show_table(table)
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 3
    assert not any(character in out + err for character in "\x1b\u202e")
    assert out.count("[red]") == 3


def test_the_bar_reads_no_markup(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("TERM", "dumb")
    bar = output._Bar()
    bar.begin("[red]x[/red]", 1)
    bar.advance(note="[bold")
    bar.end()
    assert "[red]x[/red]" in capsys.readouterr().err


def test_names_from_data_reach_the_terminal_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    mask = PointMask(np.ones(2, bool), 0.5, name="chair\x1b[2J")
    source = SceneSource("rooms/\x1b]0;title\x07.ply", "room")
    _print([Prediction("a", source, (mask,), "the chair\nerror: fake")])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.count("\n") == 2
    assert 'rooms/\\x1b]0;title\\x07.ply: "the chair\\nerror: fake"\n  chair\\x1b[2J' in out


def test_verbs_write_through_the_escaping_functions() -> None:
    raw = {
        file.name: file.read_text().count("typer.echo(") + file.read_text().count(" print(")
        for file in (paths.ROOT / "g3d" / "cli").glob("*.py")
    }
    del raw["output.py"]
    assert {name: count for name, count in raw.items() if count} == {"app.py": 1, "presets.py": 1}  # version, YAML
