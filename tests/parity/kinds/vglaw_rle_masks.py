"""Compressed run-length masks of ReferItGame's annotations, decoded; and coded again to the same strings."""

from pathlib import Path

import numpy as np

from g3d.ops.mask_rle import masks_to_strings, strings_to_masks
from parity.check import Check


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    found: dict[str, np.ndarray | Check] = {}
    for k, code in enumerate(case["rle"]):
        mask = strings_to_masks([code["counts"]], *code["size"])
        same = masks_to_strings(mask) == [code["counts"]]
        found[f"mask_{k}"] = mask[0].numpy().astype(np.uint8)
        found[f"string_{k}"] = Check(f"string_{k}", float(not same), "exact", same)
    return found
