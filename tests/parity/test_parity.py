"""Every parity case passes: those of tests/parity/golden, and the rest of ../shared/golden where that folder is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support import paths

from parity.runner import Case, find_cases, kind_module, main, run_case

GOLDEN = paths.GOLDEN
SHARED = paths.SHARED / "golden"
SLOW = (
    "jln/forward_eval",
    "jln/forward_small",
    "jln/train_step",
    "jln/state_dict",  # 162 million parameters at full size
    "jln/monodetr_reuse",
    "monodle/forward_1x384x1280",  # forward_2x192x640 is fast
    "monodle/pipeline_8",
    "ws3dvg/grounding_groupfree",
    "ws3dvg/grounding_votenet",
    "ws3dvg/groupfree_1x40000",  # groupfree_2x8192 is fast
    "ws3dvg/state_dict_ws3dvg_groupfree",
)
COMPLETE = ("monodle", "jln")  # systems of which every case has its code


def _cases() -> list[Case]:
    copied = find_cases([GOLDEN])
    names = {str(case) for case in copied}
    shared = [case for case in find_cases([SHARED] if SHARED.is_dir() else []) if str(case) not in names]
    return copied + [case for case in shared if case.settings["system"] in COMPLETE or has_code(case)]


def has_code(case: Case) -> bool:
    return kind_module(case.settings["system"], case.settings["kind"]) is not None


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in the order of the published runs
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[pytest.mark.slow] if str(c) in SLOW else [], id=str(c)) for c in _cases()]
)
def test_case_passes(case: Case) -> None:
    checks = run_case(case)
    assert checks, f"kind {case.settings['kind']} is not supported"
    assert not [str(check) for check in checks if not check.passed]


def test_unknown_kind_is_reported_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "strange.json").write_text('{"system": "monodle", "kind": "strange", "tolerance": {}}')
    assert main([str(tmp_path)]) == 1
    assert "NOT SUPPORTED  monodle/strange" in capsys.readouterr().out


def test_an_array_that_nothing_computes_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    (tmp_path / "case.json").write_text('{"system": "monodle", "kind": "lr_schedule", "tolerance": {"rel": 1e-9}}')
    np.savez(
        tmp_path / "case.npz",
        **{
            "in.base_lr": 1.0,
            "in.decay_list": np.array([2]),
            "in.decay_rate": 0.5,
            "out.lr_plain": np.ones(2),
            "out.lr_warmup": np.ones(0),
            "out.other": np.ones(1),
        },
    )
    checks = run_case(find_cases([tmp_path / "case.json"])[0])
    assert checks is not None
    assert [(c.name, c.note) for c in checks if not c.passed] == [("out.other", "not computed")]


def test_kinds_are_found_by_file_name() -> None:
    assert kind_module("monodle", "forward") is not None
    assert kind_module("monodle", "nothing") is None
