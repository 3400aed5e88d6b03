"""Folders that are complete or absent, whatever happens while they are filled."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from g3d.data.folders import FileLock, atomic_folder, partial_folder
from g3d.errors import EnvironmentProblem, InputError


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    final = tmp_path / "deep" / "final"
    with atomic_folder(final) as folder:
        (folder / "a.txt").write_text("a")
        assert not final.exists()
    assert (final / "a.txt").read_text() == "a"
    with atomic_folder(final) as folder:
        assert list(folder.iterdir()) == []
        (folder / "b.txt").write_text("b")
        assert (final / "a.txt").exists()
    assert os.listdir(final) == ["b.txt"]
    assert os.listdir(final.parent) == ["final"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "final") as folder:
        (folder / "a.txt").write_text("a")

    def fail() -> None:
        with atomic_folder(tmp_path / "final") as folder:
            (folder / "b.txt").write_text("b")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert os.listdir(tmp_path) == ["final"]
    assert os.listdir(tmp_path / "final") == ["a.txt"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".final.partial").mkdir()
    (tmp_path / ".final.partial" / "half.txt").write_text("half")
    (tmp_path / ".final.old").mkdir()
    with atomic_folder(tmp_path / "final") as folder:
        assert list(folder.iterdir()) == []
    assert os.listdir(tmp_path) == ["final"]


@pytest.mark.parametrize("name", ["final", ".final.partial"])
def test_links_in_its_place_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "precious.txt").write_text("content")
    (tmp_path / name).symlink_to(tmp_path / "victim")
    with pytest.raises(InputError, match="found a symbolic link"), atomic_folder(tmp_path / "final"):
        pytest.fail("the block must not run")
    assert (tmp_path / "victim" / "precious.txt").read_text() == "content"


def test_a_file_in_the_way_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot be written"), atomic_folder(tmp_path / "file" / "final"):
        pytest.fail("the block must not run")


def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    began = threading.Event()

    def second() -> None:
        began.set()
        with atomic_folder(tmp_path / "final") as folder:
            (folder / "second.txt").write_text("")

    thread = threading.Thread(target=second)
    with atomic_folder(tmp_path / "final") as folder:
        thread.start()
        assert began.wait(10)
        with partial_folder(tmp_path, "final") as other:
            assert other is None
        (folder / "first.txt").write_text("")
    thread.join(10)
    assert not thread.is_alive()
    assert os.listdir(tmp_path / "final") == ["second.txt"]


def test_a_lock_names_its_holder_in_its_file(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock", "run a")
    assert (tmp_path / "lock").read_text().startswith(f"{os.getpid()} on ")
    lock.release()
    lock.release()
    FileLock(tmp_path / "lock", "run a").release()
