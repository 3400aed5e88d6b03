"""The published files are written so that the published code reads them, and read from whatever made them."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from g3d.data.scannet.arrays import PreparedScene, ScanReferScene, VoteNetScene
from g3d.data.scannet.published import (
    read_ground_truth,
    read_prepared,
    read_scanrefer,
    read_votenet,
    write_ground_truth,
    write_inst_nostuff,
    write_refer,
    write_scanrefer,
    write_votenet,
)
from g3d.errors import InputError, MissingDataError

SCENE = "scene0000_00"


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


@pytest.fixture
def prepared() -> PreparedScene:
    return PreparedScene(numbers(5, 3).astype(np.float32), numbers(5, 3).astype(np.float32), np.array([0, 0, 1, 1, 2]),
                         np.array([4, 4, -100, 0, 19]), np.array([0, 0, 2, -100, 1]))  # fmt: skip


@pytest.fixture
def scanrefer() -> ScanReferScene:
    ids = np.arange(5, dtype=np.uint32)
    return ScanReferScene(
        numbers(5, 9).astype(np.float32), numbers(5, 9).astype(np.float32), ids, ids + 1, numbers(2, 8), numbers(2, 8)
    )


@pytest.fixture
def votenet() -> VoteNetScene:
    ids = np.arange(5, dtype=np.uint32)
    return VoteNetScene(numbers(5, 6).astype(np.float32), ids, ids, numbers(2, 7))


def same(a: object, b: object) -> bool:
    return all(np.array_equal(x, vars(b)[name]) and x.dtype == vars(b)[name].dtype for name, x in vars(a).items())


def test_scanrefer_files_come_back(tmp_path: Path, scanrefer: ScanReferScene) -> None:
    paths = write_scanrefer(tmp_path, SCENE, scanrefer)
    assert sorted(path.name.removeprefix(SCENE) for path in paths) == [
        "_aligned_bbox.npy",
        "_aligned_vert.npy",
        "_bbox.npy",
        "_ins_label.npy",
        "_sem_label.npy",
        "_vert.npy",
    ]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert same(read_scanrefer(tmp_path, SCENE), scanrefer)


def test_votenets_files_are_never_read_as_scanrefers(
    tmp_path: Path, votenet: VoteNetScene, scanrefer: ScanReferScene
) -> None:
    write_votenet(tmp_path / "votenet", SCENE, votenet)
    write_scanrefer(tmp_path / "scanrefer", SCENE, scanrefer)
    assert same(read_votenet(tmp_path / "votenet", SCENE), votenet)
    with pytest.raises(
        InputError, match=r"_vert\.npy: float32 of shape .5, 6., expected .N, 9. as ScanRefer prepares scenes"
    ):
        read_scanrefer(tmp_path / "votenet", SCENE)
    with pytest.raises(InputError, match=r"_vert\.npy: float32 of shape .5, 9., expected .N, 6. as VoteNet"):
        read_votenet(tmp_path / "scanrefer", SCENE)


def test_damaged_arrays_are_refused(tmp_path: Path, votenet: VoteNetScene) -> None:
    write_votenet(tmp_path, SCENE, votenet)
    np.save(tmp_path / f"{SCENE}_ins_label.npy", np.zeros(4, np.uint32))
    with pytest.raises(InputError, match=r"_ins_label\.npy: 4 rows, .*_vert\.npy has 5"):
        read_votenet(tmp_path, SCENE)
    path = tmp_path / f"{SCENE}_vert.npy"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="cut short"):
        read_votenet(tmp_path, SCENE)
    path.unlink()
    with pytest.raises(MissingDataError, match="no such file"):
        read_votenet(tmp_path, SCENE)


@pytest.mark.parametrize("write", [write_refer, write_inst_nostuff])
def test_prepared_scenes_come_back(tmp_path: Path, prepared: PreparedScene, write: object) -> None:
    path = tmp_path / "s.pth"
    write(path, prepared)
    assert same(read_prepared(path), prepared)
    test = PreparedScene(prepared.coords, prepared.colours, prepared.superpoints, None, None)
    write(path, test)
    assert read_prepared(path).semantic is None
    assert np.array_equal(read_prepared(path).coords, test.coords)


def test_published_code_loads_what_is_written(tmp_path: Path, prepared: PreparedScene) -> None:
    for write, instance_type in ((write_refer, np.int64), (write_inst_nostuff, np.float64)):
        write(tmp_path / "s.pth", prepared)
        coords, colours, superpoints, semantic, instance = torch.load(tmp_path / "s.pth", weights_only=False)
        assert [a.dtype for a in (coords, colours, superpoints, semantic, instance)] == [
            np.float32,
            np.float32,
            np.int64,
            np.float64,
            instance_type,
        ]
        assert coords.flags.writeable
        assert np.array_equal(instance, prepared.instance)


def test_written_scenes_name_no_private_module_of_numpy(tmp_path: Path, prepared: PreparedScene) -> None:
    write_refer(tmp_path / "s.pth", prepared)
    with zipfile.ZipFile(tmp_path / "s.pth") as archive:
        stored = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    assert b"core" not in stored


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_scenes_of_any_numpy_and_torch_are_read(
    tmp_path: Path, prepared: PreparedScene, protocol: int, zipped: bool, module: bytes
) -> None:
    arrays = (
        prepared.coords.astype(np.float64),
        prepared.colours,
        prepared.superpoints,
        prepared.semantic,
        prepared.instance,
    )
    content = io.BytesIO()
    if zipped:
        torch.save(arrays, content, pickle_protocol=protocol)
    else:
        torch.save(arrays, content, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    stored = content.getvalue()
    if not zipped and protocol == 2:  # names are lines of text there, so they can be exchanged
        stored = stored.replace(b"numpy._core.multiarray", module).replace(b"numpy.core.multiarray", module)
    (tmp_path / "s.pth").write_bytes(stored)
    assert same(read_prepared(tmp_path / "s.pth"), prepared)


class _Harm:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("harm",)


def test_a_file_that_names_anything_but_arrays_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, save in (("zip.pth", torch.save), ("plain.pth", lambda harm, path: path.write_bytes(pickle.dumps(harm)))):
        save((_Harm(),), tmp_path / name)
        with pytest.raises(InputError, match="mkdir, which is no array"):
            read_prepared(tmp_path / name)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((np.zeros((5, 3)),), "expected a tuple of 3 or 5 arrays"),
        ({"coords": np.zeros((5, 3))}, "expected a tuple of 3 or 5 arrays"),
        (
            (np.zeros((5, 3)), np.zeros((4, 3)), np.zeros(5)),
            r"colours is float64 of shape \(4, 3\), expected numbers of shape \(5, 3\)",
        ),
        ((np.zeros((5, 3)), np.zeros((5, 3)), np.full(5, -1)), "superpoint -1 is negative"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, arrays: object, message: str) -> None:
    torch.save(arrays, tmp_path / "s.pth")
    with pytest.raises(InputError, match=message):
        read_prepared(tmp_path / "s.pth")


def test_damaged_prepared_scenes_are_refused(tmp_path: Path, prepared: PreparedScene) -> None:
    path = tmp_path / "s.pth"
    write_refer(path, prepared)
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError, match="not a prepared scene, or damaged"):
            read_prepared(path)
    with pytest.raises(MissingDataError, match="no such file"):
        read_prepared(tmp_path / "none.pth")


def test_ground_truth_comes_back(tmp_path: Path, prepared: PreparedScene) -> None:
    path = tmp_path / "s.txt"
    write_ground_truth(path, prepared)
    assert path.read_text() == "5001\n5001\n1003\n0\n39002\n"
    assert read_ground_truth(path, 5).tolist() == [5001, 5001, 1003, 0, 39002]
    with pytest.raises(InputError, match="5 numbers, the scene has 6 vertices"):
        read_ground_truth(path, 6)
    path.write_text("5001\nchair\n")
    with pytest.raises(InputError, match="number 2 is 'chair'"):
        read_ground_truth(path)
