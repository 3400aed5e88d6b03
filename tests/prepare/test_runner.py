"""Recipes of one folder for each item: nothing twice, nothing half, whatever is killed or started twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import paths
from support.items import copy_slowly, divide_by_item, leave_out_a_part

from g3d.errors import EnvironmentProblem, InputError
from g3d.prepare import manifest
from g3d.prepare import workers as pool
from g3d.prepare.runner import Item, Recipe, plan, prepare
from g3d.prepare.shards import Shard, parse_shard, shard_of_environment

RECIPE = Recipe("copy", 1, {"repeat": 2}, copy_slowly)


@pytest.fixture
def sources(tmp_path: Path) -> list[Item]:
    """Eight inputs; what is made of them is their content twice."""
    (tmp_path / "in").mkdir()
    made = []
    for index in range(8):
        file = tmp_path / "in" / f"item{index}.txt"
        file.write_text(f"content {index}\n" * 50)
        made.append(Item(f"item{index}", (file,), bytes=1000))
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_the_second_time_nothing_is_done(sources: list[Item], tmp_path: Path, workers: int) -> None:
    out = tmp_path / "out"
    first = prepare(RECIPE, sources, out, workers)
    assert len(first.made) == 8
    assert first.facts["item3"] == {"length": 1000}
    before = contents(out)
    second = prepare(RECIPE, sources, out, workers)
    assert (second.made, len(second.done)) == ((), 8)
    assert contents(out) == before
    assert (out / "item3" / "a" / "copy.txt").read_text() == "content 3\n" * 100


def test_only_what_changed_is_made_anew(sources: list[Item], tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(RECIPE, sources, out)
    sources[2].inputs[0].write_text("other")
    (out / "item4" / "a" / "copy.txt").unlink()
    (out / "item5" / "manifest.json").write_text("{")
    found = plan(RECIPE, sources, out)
    assert found.outdated == {
        "item2": "its input files have changed",
        "item4": "a/copy.txt is missing or of another size",
        "item5": "its manifest is damaged",
    }
    assert found.bytes == 3000
    assert prepare(RECIPE, sources, out).made == ("item2", "item4", "item5")
    assert (out / "item2" / "a" / "copy.txt").read_text() == "otherother"
    assert set(plan(replace(RECIPE, version=2), sources, out).outdated.values()) == {"an older version made it"}
    assert set(plan(replace(RECIPE, settings={"repeat": 3}), sources, out).outdated.values()) == {"the settings differ"}
    assert len(prepare(RECIPE, sources, out, redo=True).made) == 8


def test_broken_items_leave_nothing_and_stop_nobody(sources: list[Item], tmp_path: Path) -> None:
    sources[1].inputs[0].write_text("broken")
    sources[6].inputs[0].unlink()
    done = prepare(RECIPE, sources, tmp_path / "out")
    assert [(name, str(error)) for name, error in done.broken] == [
        ("item1", "item1.txt is broken"),
        ("item6", "item6.txt is missing"),
    ]
    assert sorted(os.listdir(tmp_path / "out")) == ["item0", "item2", "item3", "item4", "item5", "item7"]


def test_a_broken_item_leaves_what_was_there(sources: list[Item], tmp_path: Path) -> None:
    prepare(RECIPE, sources, tmp_path / "out")
    before = contents(tmp_path / "out")
    sources[1].inputs[0].write_text("broken")
    assert [name for name, _ in prepare(RECIPE, sources, tmp_path / "out").broken] == ["item1"]
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("workers", [1, 2])
def test_any_exception_makes_its_item_broken_and_its_traceback_is_logged(
    workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG", logger="g3d"):
        outcome = pool.apply(divide_by_item, [1, 0, 3], "divide", workers)
    assert outcome.good == ((1, 12), (3, 4))
    ((item, error),) = outcome.broken
    assert item == 0
    assert error.message.startswith("0: ZeroDivisionError: integer ")
    assert "\n" not in error.message
    assert error.exit_code == 1
    (record,) = (record for record in caplog.records if record.levelname == "DEBUG")
    assert "Traceback" in record.getMessage()
    assert "return 12 // item" in record.getMessage()


@pytest.mark.parametrize("signal_to_self", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_not_a_broken_item(signal_to_self: type[BaseException]) -> None:
    def interrupt(item: int) -> None:
        raise signal_to_self

    with pytest.raises(signal_to_self):
        pool.apply(interrupt, [1], "interrupt")


def test_missing_parts_of_an_item_are_listed_every_time(sources: list[Item], tmp_path: Path) -> None:
    sources[1].inputs[0].write_text("good\ndamaged\n")
    recipe = Recipe("lines", 1, {}, leave_out_a_part)
    for made in (8, 0):
        done = prepare(recipe, sources, tmp_path / "out")
        assert len(done.made) == made
        assert [(name, error.message) for name, error in done.broken] == [("item1", "item1: line 2 is damaged")]
    assert plan(recipe, sources, tmp_path / "out").incomplete == {"item1": ("item1: line 2 is damaged",)}
    assert (tmp_path / "out" / "item1" / "lines.txt").read_text() == "good\n"
    sources[1].inputs[0].write_text("good\ngood\n")
    assert prepare(recipe, sources, tmp_path / "out").broken == ()


@pytest.mark.parametrize("place", ["item3", ".item3.partial"])
def test_nothing_is_written_or_deleted_through_a_symbolic_link(sources: list[Item], tmp_path: Path, place: str) -> None:
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.mkdir()
    (victim / "precious.txt").write_text("content")
    out.mkdir()
    (out / place).symlink_to(victim)
    done = prepare(RECIPE, sources, out)
    assert [name for name, _ in done.broken] == ["item3"]
    assert "found a symbolic link" in done.broken[0][1].message
    assert len(done.made) == 7
    assert contents(victim) == {"precious.txt": b"content"}
    assert (out / place).is_symlink()


@pytest.mark.parametrize("name", ["/etc", "../item0", "a/b", "a/", "..", ""])
def test_an_item_whose_name_is_a_path_is_refused(sources: list[Item], tmp_path: Path, name: str) -> None:
    items = [replace(sources[0], name=name)]
    with pytest.raises(InputError, match="expected a name, not a path"):
        prepare(RECIPE, items, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_prepared_folder_behind_a_link_is_not_taken_for_done(sources: list[Item], tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(RECIPE, sources, out)
    (out / "item3").rename(tmp_path / "elsewhere")
    (out / "item3").symlink_to(tmp_path / "elsewhere")
    before = contents(tmp_path / "elsewhere")
    assert plan(RECIPE, sources, out).outdated == {"item3": "it is a symbolic link"}
    assert [name for name, _ in prepare(RECIPE, sources, out, redo=True).broken] == ["item3"]
    assert contents(tmp_path / "elsewhere") == before


def test_leftovers_that_are_links_are_removed_but_not_followed(sources: list[Item], tmp_path: Path) -> None:
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.mkdir()
    (victim / "precious.txt").write_text("content")
    (out / ".item3.partial").mkdir(parents=True)
    (out / ".item3.partial" / "link").symlink_to(victim)
    (out / ".item3.old").symlink_to(victim)
    assert prepare(RECIPE, sources, out).broken == ()
    assert contents(victim) == {"precious.txt": b"content"}
    assert sorted(os.listdir(out)) == [f"item{index}" for index in range(8)]


def start(sources: list[Item], out: Path, work: str = "copy_slowly", **how: Any) -> subprocess.Popen[bytes]:
    tests = paths.TESTS
    program = (
        f"import sys; sys.path[:0] = [{str(tests)!r}]\n"
        f"from pathlib import Path\nfrom support.items import {work} as work\nfrom g3d.prepare.runner import Item, "
        f"Recipe, prepare\n"
        "if __name__ == '__main__':\n"
        f"    items = [Item(f'item{{i}}', (Path({str(sources[0].inputs[0].parent)!r}) / "
        f"f'item{{i}}.txt',), 1000) for i in range(8)]\n"
        f"    prepare(Recipe('copy', 1, {{'repeat': 2}}, work), items, Path({str(out)!r}), workers=2)\n"
    )
    file = out.with_suffix(".py")
    file.write_text(program)
    return subprocess.Popen([sys.executable, str(file)], env={**os.environ, "PYTHONPATH": str(tests)}, **how)


def test_killed_at_random_moments_it_ends_with_the_same_bytes(sources: list[Item], tmp_path: Path) -> None:
    prepare(RECIPE, sources, tmp_path / "undisturbed")
    out = tmp_path / "out"
    moments = random.Random(0)
    for _ in range(4):
        process = start(sources, out)
        deadline = time.monotonic() + 20
        while not out.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(sources, out).wait(timeout=60) == 0
    assert contents(out) == contents(tmp_path / "undisturbed")
    assert sorted(os.listdir(out)) == [f"item{index}" for index in range(8)]


def test_two_processes_share_the_work(sources: list[Item], tmp_path: Path) -> None:
    out = tmp_path / "out"
    both = [start(sources, out) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert sorted(os.listdir(out)) == [f"item{index}" for index in range(8)]
    prepare(RECIPE, sources, tmp_path / "alone")
    assert contents(out) == contents(tmp_path / "alone")


def test_an_interrupt_does_not_wait_for_what_is_being_made(sources: list[Item], tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(sources, out, "take_a_minute", start_new_session=True)
    wait_until(lambda: len(list(out.glob(".*.partial/half.txt"))) == 2)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal: to the workers as well
    assert process.wait(timeout=20) != 0
    assert os.listdir(out) == []


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_too_little_room_is_said_before_the_work(
    sources: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest.shutil, "disk_usage", lambda place: namedtuple("usage", "free")(7999))
    with pytest.raises(EnvironmentProblem, match=r"0\.0 GB are needed"):
        prepare(RECIPE, sources, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_shards_divide_a_list() -> None:
    parts = [parse_shard(f"{index}/3").of(range(10)) for index in (1, 2, 3)]
    assert parts == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected i/n"):
        parse_shard(text)


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        ({}, (0, 1)),
        ({"RANK": "2", "WORLD_SIZE": "4"}, (2, 4)),
        (
            {"SLURM_ARRAY_TASK_ID": "11", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_COUNT": "4", "RANK": "0"},
            (1, 4),
        ),
        (
            {
                "SLURM_ARRAY_TASK_ID": "6",
                "SLURM_ARRAY_TASK_MIN": "2",
                "SLURM_ARRAY_TASK_STEP": "2",
                "SLURM_ARRAY_TASK_COUNT": "4",
            },
            (2, 4),
        ),
        ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2"}, (1, 2)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, (0, 1)),  # sbatch --ntasks=2 without srun
    ],
)
def test_shards_of_the_environment(environment: dict[str, str], shard: tuple[int, int]) -> None:
    found = shard_of_environment(environment)
    assert (found.index, found.count) == shard


def test_an_array_with_gaps_is_refused() -> None:
    with pytest.raises(EnvironmentProblem, match="SLURM_ARRAY_TASK_ID=9 is not among"):
        shard_of_environment({"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "4"})


def test_the_whole_is_one_shard() -> None:
    assert Shard().of([1, 2, 3]) == [1, 2, 3]
