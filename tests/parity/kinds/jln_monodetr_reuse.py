"""MonoDETR as the start of training: under either spelling, each name of the intended map arrives where it belongs."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from support.fill import fill_array
from torch import Tensor

from g3d import config as presets
from g3d.systems.jln.model import JLN
from g3d.systems.jln.official import import_start, our_name
from parity.check import Check

START = "depthaware_transformer."  # of public names; files may have "transformer." in its place


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    config: Any = presets.load(
        "jln", ["text.architecture={vocab_size: 8, num_hidden_layers: 1}"]
    )  # MonoDETR has nothing of it
    model = JLN(config.model, config.text)
    return _checks(case, model, START) | _checks(case, model, "transformer.")


def _checks(case: dict, model: JLN, spelling: str) -> dict[str, Check]:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = _monodetr(case, before, spelling)
    report = import_start({"epoch": 1, "model_state": state, "optimizer_state": {}}, model)
    own = model.state_dict()
    arrived, twice = 0, 0
    for public, jln in case["intended"].items():
        name = public.replace(START, spelling)
        arrived += name in report.taken and torch.equal(own[our_name(jln)], state[name])
        twice += "held twice" in report.ignored.get(name, "")
    intended = len(case["intended"])
    kept = [name for name in report.fresh if not torch.equal(own[name], before[name])]
    left = set(own) - set(report.fresh) - {our_name(name) for name in case["intended"].values()}
    unused = [name for name in case["not_used"] if name.replace(START, spelling) not in report.ignored]
    said = f"{arrived} names arrived, {twice} are held twice"
    return {
        f"{spelling} intended": Check(said, intended - arrived - twice, f"all {intended}", arrived + twice == intended),
        f"{spelling} not used": Check("reported as not used", len(unused), f"all {len(case['not_used'])}", not unused),
        f"{spelling} new": Check(
            f"{len(report.fresh)} new names keep their values", len(kept) + len(left), "exact", not kept and not left
        ),
    }


def _monodetr(case: dict, own: dict[str, Tensor], spelling: str) -> dict[str, Tensor]:
    """A checkpoint with MonoDETR's names; what this network takes has its shapes, what is held twice has equal
    values."""
    twins = {f"{START}decoder.bbox_embed.0.": "bbox_embed.0.", f"{START}decoder.dim_embed.0.": "dim_embed_3d.0."}
    state = {name.replace(START, spelling): torch.zeros(1) for name in case["not_used"]}
    for public in case["intended"]:
        source = next(
            (top + public.removeprefix(start) for start, top in twins.items() if public.startswith(start)), public
        )
        like = own[our_name(case["intended"][source])]
        filled = like if public.endswith("depth_bin_values") else torch.from_numpy(fill_array(source, like.shape))
        state[public.replace(START, spelling)] = filled
    return state
