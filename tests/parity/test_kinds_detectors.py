"""The kinds of the detectors fail where they should: other queries, entries left over, unread settings."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from g3d.errors import InputError
from parity.describe import DescriptionError
from parity.kinds import ws3dvg_detector, ws3dvg_state_dict_groupfree, ws3dvg_state_dict_votenet
from parity.variants import stored


def outputs(chosen: list[int], scores: list[float]) -> SimpleNamespace:
    return SimpleNamespace(query_indices=torch.tensor([chosen]), seed_scores=torch.tensor([scores]))


def test_queries_of_nearly_equal_scores_may_be_swapped() -> None:
    found = outputs([2, 0, 1], [0.5, 0.4, 0.5 + 1e-6, 0.1])
    places = ws3dvg_detector.matched(found, np.array([[0, 2, 1]]), 1e-6)
    assert places.tolist() == [[1, 0, 2]]
    assert found.query_indices[0][places[0]].tolist() == [0, 2, 1]
    with pytest.raises(DescriptionError, match="other seeds are chosen"):
        ws3dvg_detector.matched(found, np.array([[0, 2, 3]]), 1e-6)
    with pytest.raises(DescriptionError, match="scores of swapped queries differ"):
        ws3dvg_detector.matched(found, np.array([[1, 0, 2]]), 1e-6)


def test_the_least_number_of_points_is_read() -> None:
    def case(meaning: str, remove: bool = True) -> dict:
        return {"settings": {"remove_empty_box": remove}, "arrays": {"out.nms_keep": {"meaning": meaning}}}

    assert ws3dvg_detector._least_points(case("boxes holding fewer than 7 points")) == 7
    assert ws3dvg_detector._least_points(case("", remove=False)) == 0
    with pytest.raises(DescriptionError, match=r"out\.nms_keep"):
        ws3dvg_detector._least_points(case("boxes with few points"))


@pytest.mark.parametrize(
    "kind", [pytest.param(ws3dvg_state_dict_groupfree, marks=pytest.mark.slow), ws3dvg_state_dict_votenet]
)
def test_a_manifest_with_an_entry_more_or_less_is_refused(kind: object, tmp_path: object) -> None:
    system = kind.__name__.rpartition("_")[2]  # type: ignore[attr-defined]
    case, _ = _manifest(system)
    name = "backbone_net.sa1.mlp_module.layer0.conv.weight"
    less = {key: entry for key, entry in case["manifest"].items() if key != name}
    for manifest, message in ((less, "missing: " + name), (case["manifest"] | {"x": {"shape": [1]}}, "unknown: x")):
        entries = {key: {"dtype": "float32"} | entry for key, entry in manifest.items()}
        with pytest.raises(InputError, match=message):
            kind.run(case | {"manifest": entries}, {}, tmp_path)  # type: ignore[attr-defined]


def _manifest(system: str) -> tuple[dict, dict]:
    manifest, arrays = stored("ws3dvg", f"state_dict_{system}")
    if "manifest" not in manifest:
        manifest = {"system": "ws3dvg", "kind": f"state_dict_{system}", "manifest": manifest}
    return manifest, arrays
