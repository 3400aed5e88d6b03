"""Packages that are broken stop what names them, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.drawn import draw_kitti
from support.verbs import g3d

from g3d import config as presets
from g3d import registry
from g3d.datasets.base import dataset_of, datasets, get_dataset
from g3d.engine.demo import demo_names
from g3d.errors import EnvironmentProblem, InputError
from g3d.systems.base import get_system

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package from some texts by file name, as the system and the data set of these names."""

    def made(files: dict[str, str], system: str = "", dataset: str = "") -> Path:
        site = tmp_path / "site"
        about = site / "other-1.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
        points = [f"[{group}]\n{point}\n" for group, point in (("g3d.systems", system), ("g3d.datasets", dataset))]
        (about / "entry_points.txt").write_text("\n".join(points))
        for name, text in files.items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_text(text)
        monkeypatch.syspath_prepend(site)
        registry.modules.cache_clear()
        return site

    yield made
    registry.modules.cache_clear()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nosuch_module", "other_rooms cannot be imported: No module named 'nosuch_module'"),
        ("def (", "other_rooms cannot be imported: SyntaxError: invalid syntax"),
        ("1 / 0", "other_rooms cannot be imported: ZeroDivisionError: division by zero"),
        ("", "other_rooms has no DATASET"),
    ],
)
def test_a_broken_data_set_is_left_out_where_all_are_looked_through(
    install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, says: str
) -> None:
    name = f"other_rooms_{abs(hash(text))}"  # a module is imported once
    install({f"{name}.py": text}, dataset=f"rooms = {name}")
    says = says.replace("other_rooms", name)
    kitti = draw_kitti(tmp_path / "kitti", 1, 1)
    assert dataset_of(kitti).name == "kitti"
    assert [dataset.name for dataset in datasets()] == ["kitti", "mono3drefer", "referit3d", "scannet", "scanrefer"]
    assert f"g3d.datasets rooms: {says}" in caplog.text
    with pytest.raises(EnvironmentProblem, match="rooms: ") as raised:
        registry.member(registry.DATASETS, "rooms", "DATASET")
    assert says in raised.value.message


def test_a_broken_system_leaves_the_other_presets_usable(install: Install) -> None:
    files = {"other_a/__init__.py": "", "other_a/config.py": "1 / 0", "other_a/presets/mine.yaml": "system: mine\n"}
    install(files, system="mine = other_a")
    assert presets.load("monodle").name == "monodle"
    with pytest.raises(EnvironmentProblem, match=r"g3d.systems mine: other_a.config cannot be imported: ZeroDivision"):
        presets.load("mine")
    code, out, err = g3d("presets", "list")
    assert code == 1
    assert "monodle-ddml-tiny" in out
    assert "error: g3d.systems mine: other_a.config cannot be imported" in err


def test_an_uninstalled_package_that_left_its_entry_points_is_left_out(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install({}, system="gone = other_gone.inner")
    assert presets.load("monodle").name == "monodle"
    assert demo_names() == ["groupfree", "jln", "monodle"]
    assert "g3d.systems gone: other_gone.inner cannot be imported: No module named 'other_gone'" in caplog.text


def test_a_name_that_is_taken_is_refused(install: Install) -> None:
    install({}, system="jln = other_b")
    with pytest.raises(EnvironmentProblem, match=r"entry point jln of g3d.systems in other: g3d.systems.jln has this"):
        presets.load("monodle")


def test_the_built_in_ones_are_found_by_their_files() -> None:
    assert presets.system_names() == ["groupfree", "jln", "monodle", "votenet", "ws3dvg"]
    assert [dataset.name for dataset in datasets()] == ["kitti", "mono3drefer", "referit3d", "scannet", "scanrefer"]
    assert demo_names() == ["groupfree", "jln", "monodle"]


def test_another_package_adds_names(install: Install) -> None:
    install({}, system="mine = g3d.systems.monodle", dataset="streets = g3d.datasets.kitti")
    assert presets.system_names() == ["groupfree", "jln", "mine", "monodle", "votenet", "ws3dvg"]
    assert get_system("mine") is get_system("monodle")
    assert get_dataset("streets") is get_dataset("kitti")


def test_a_wrong_name_gets_the_nearest_known_one() -> None:
    with pytest.raises(InputError, match="system 'monodel': there is none of that name; did you mean 'monodle'"):
        get_system("monodel")
