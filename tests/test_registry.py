"""Systems and data sets of other packages: found by their entry points, and refused clearly where they are broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint

import pytest

from g3d import config, registry
from g3d.datasets.base import dataset_names, get_dataset
from g3d.engine.demo import demo_names
from g3d.errors import EnvironmentProblem, InputError
from g3d.systems.base import get_system

Announce = Callable[..., None]


@pytest.fixture
def announce(monkeypatch: pytest.MonkeyPatch) -> Iterator[Announce]:
    """A function that makes entry points known: announce(group, name="module")."""
    points: list[EntryPoint] = []

    def known(group: str) -> list[EntryPoint]:
        return [point for point in points if point.group == group]

    def add(group: str, **modules: str) -> None:
        points.extend(EntryPoint(name, module, group) for name, module in modules.items())
        registry.modules.cache_clear()

    monkeypatch.setattr(registry, "entry_points", known)
    registry.modules.cache_clear()
    yield add
    monkeypatch.undo()
    registry.modules.cache_clear()


def test_the_built_in_ones_are_found_by_their_files(announce: Announce) -> None:
    assert config.system_names() == ["jln", "monodle"]
    assert dataset_names() == ["kitti", "mono3drefer", "scannet"]
    assert demo_names() == ["jln", "monodle"]


def test_another_package_adds_names(announce: Announce) -> None:
    announce(registry.SYSTEMS, mine="g3d.systems.monodle")
    announce(registry.DATASETS, streets="g3d.datasets.kitti")
    assert config.system_names() == ["jln", "mine", "monodle"]
    assert get_system("mine") is get_system("monodle")
    assert get_dataset("streets") is get_dataset("kitti")


@pytest.mark.parametrize(("group", "name"), [(registry.SYSTEMS, "jln"), (registry.DATASETS, "kitti")])
def test_a_name_that_is_taken_is_refused(announce: Announce, group: str, name: str) -> None:
    announce(group, **{name: "elsewhere"})
    with pytest.raises(EnvironmentProblem, match=rf"entry point {name} of {group} .*: g3d\.\w+\.{name} has this name"):
        registry.modules(group)


def test_a_package_that_cannot_be_imported_is_named(announce: Announce) -> None:
    announce(registry.SYSTEMS, gone="no_such_package")
    announce(registry.DATASETS, gone="no_such_package.rooms")
    announce(registry.SYSTEMS, inner="no_such_package.inner")
    assert "jln" in config.preset_names()
    with pytest.raises(EnvironmentProblem, match=r"g3d\.systems gone: no_such_package\.config cannot be imported"):
        config.schema("gone")
    with pytest.raises(EnvironmentProblem, match=r"g3d\.datasets gone: no_such_package\.rooms cannot be imported"):
        get_dataset("gone")


def test_a_wrong_name_gets_the_nearest_known_one(announce: Announce) -> None:
    with pytest.raises(InputError, match="system 'monodel': there is none of that name; did you mean 'monodle'"):
        get_system("monodel")
