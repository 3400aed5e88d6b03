"""The kinds of WS-3DVG fail where they should: other proposals or candidates, entries left over, unread settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.ws3dvg import COUNTS, LENGTHS, network, scenes, sentences

from g3d.errors import InputError
from g3d.systems.ws3dvg.model import Outputs
from parity.describe import DescriptionError
from parity.kinds import (
    ws3dvg_grounding,
    ws3dvg_losses,
    ws3dvg_state_dict_ws3dvg_groupfree,
    ws3dvg_state_dict_ws3dvg_votenet,
)
from parity.variants import stored


@pytest.fixture(scope="module")
def outputs() -> Outputs:
    with torch.no_grad():
        return network().eval()(*scenes(), sentences(LENGTHS, COUNTS))


def test_proposals_come_in_the_published_order_with_all_that_belongs_to_them(outputs: Outputs) -> None:
    order = torch.stack([torch.randperm(16, generator=torch.Generator().manual_seed(k)) for k in range(2)])
    proposals = outputs.scenes.proposals
    seeds = proposals.seeds.gather(1, order)
    found = ws3dvg_grounding.ordered(outputs, seeds)
    assert torch.equal(found.scenes.proposals.seeds, seeds)
    assert torch.equal(found.scenes.proposals.boxes[1], proposals.boxes[1, order[1]])
    assert torch.equal(found.student[0, 2], outputs.student[0, 2, order[0]])
    assert torch.equal(found.coarse.gather(2, found.candidates), outputs.coarse.gather(2, outputs.candidates))
    with pytest.raises(DescriptionError, match="other seeds are chosen"):
        ws3dvg_grounding.ordered(outputs, torch.where(seeds == seeds.max(), -1, seeds))


def test_candidates_come_in_the_published_order_with_their_losses(outputs: Outputs) -> None:
    found = ws3dvg_grounding.with_candidates(outputs, outputs.candidates.flip(2))
    assert outputs.reconstruction is not None
    assert found.reconstruction is not None
    assert torch.equal(found.reconstruction, outputs.reconstruction.flip(2))
    other = replace(outputs, candidates=(outputs.candidates + 1) % 16).candidates
    with pytest.raises(DescriptionError, match="other candidates are chosen"):
        ws3dvg_grounding.with_candidates(outputs, other)


@pytest.mark.parametrize("kind", [pytest.param("groupfree", marks=pytest.mark.slow), "votenet"])
def test_a_manifest_with_an_entry_more_or_less_is_refused(kind: str, tmp_path: Path) -> None:
    modules = {"groupfree": ws3dvg_state_dict_ws3dvg_groupfree, "votenet": ws3dvg_state_dict_ws3dvg_votenet}
    manifest, _ = stored("ws3dvg", f"state_dict_ws3dvg_{kind}")
    manifest = manifest.get("manifest", manifest)
    name = "match.match.6.bias"
    less = {key: entry for key, entry in manifest.items() if key != name}
    for entries, message in ((less, f"missing: {name}"), (manifest | {"x": {"shape": [1]}}, "unknown: x")):
        whole = {key: {"dtype": "float32"} | entry for key, entry in entries.items()}
        with pytest.raises(InputError, match=message):
            modules[kind].run({"system": "ws3dvg", "manifest": whole}, {}, tmp_path)


def test_other_constants_are_refused(tmp_path: Path) -> None:
    case, arrays = stored("ws3dvg", "losses")
    with pytest.raises(DescriptionError, match=r"settings\.keyword_share: 0\.5"):
        ws3dvg_losses.run(case | {"settings": case["settings"] | {"keyword_share": 0.5}}, arrays, tmp_path)
    settings = {"mean_sizes": "scannet_reference_means", "mil_type": "margin"}
    with pytest.raises(DescriptionError, match=r"settings\.mil_type: margin"):
        ws3dvg_grounding.settings_of({"settings": settings, "case": "x"})
