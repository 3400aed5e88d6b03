"""Images and sentences -> everything that the network returns and what comes out of each of its stages, in evaluation
mode."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.systems.jln.model import JLN
from parity.check import Check, compare
from parity.describe import stated_number, stored_part
from parity.kinds.jln import OUTPUTS, filled_model, run_model, seeded_images, words_of
from parity.kinds.monodle import summary

STAGES: dict[str, tuple[str, Callable[[Any], Tensor]]] = {
    "backbone0": ("backbone", lambda levels: levels[0]),
    "backbone1": ("backbone", lambda levels: levels[1]),
    "backbone2": ("backbone", lambda levels: levels[2]),
    "weighted_depth": ("depth_predictor", lambda found: found.depth),
    "depth_embed": ("depth_predictor", lambda found: found.tokens.transpose(1, 2).unflatten(2, found.depth.shape[1:])),
    "text": ("resizer", lambda words: words),
    "encoder": ("transformer.encoder", lambda visual: visual),
    "text_injected": ("transformer.text_injection_att", lambda words: words),
    "visual_injected": ("transformer.global_visual_injection", lambda visual: visual),
    "adapter_visual": ("transformer.adapter", lambda adapted: adapted.visual),
    "adapter_depth": ("transformer.adapter", lambda adapted: adapted.depth),
    "hs": ("transformer.decoder", lambda queries: queries),
}
"""The stages that a case probes: the module that ends there, and what of its result is stored."""


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    model = filled_model(case, folder).eval()
    ids, mask = (torch.from_numpy(arrays[f"in.{name}"]) for name in ("token_ids", "attention_mask"))
    words = words_of(model, ids, mask)
    stages: dict[str, Tensor] = {"roberta": words.features}
    hooks = [
        model.get_submodule(module).register_forward_hook(_keep(stages, stage, read))
        for stage, (module, read) in STAGES.items()
    ]
    with torch.inference_mode():
        outputs = run_model(model, seeded_images(case, arrays), words, arrays)
    for hook in hooks:
        hook.remove()
    found: dict[str, np.ndarray | Check] = {name: getattr(outputs, ours).numpy() for name, ours in OUTPUTS.items()}
    found["depth_map_logits_sub"] = _stored(case, arrays, "out.depth_map_logits_sub", outputs.depth_logits)
    found["depth_map_logits_stats"] = summary(outputs.depth_logits.numpy())
    return found | _probes(case, arrays, stages)


def _keep(stages: dict[str, Tensor], stage: str, read: Callable[[Any], Tensor]) -> Callable[[JLN, Any, Any], None]:
    def hook(module: JLN, inputs: Any, result: Any) -> None:
        stages[stage] = read(result).clone()  # what follows may work in place

    return hook


def _probes(case: dict, arrays: dict[str, np.ndarray], stages: dict[str, Tensor]) -> dict[str, Check]:
    checks = {}
    for name in (name for name in arrays if name.startswith("mid.")):
        stage = name.removeprefix("mid.").removesuffix("_sub").removesuffix("_stats")
        statistics = name.endswith("_stats")
        value = summary(stages[stage].numpy()) if statistics else _stored(case, arrays, name, stages[stage])
        absolute = case["tolerance"]["abs"]
        if stage.startswith("backbone"):
            absolute = stated_number(case["tolerance"]["note"], r"\bmid\.backbone\*: abs #", "tolerance.note")
        checks[name] = compare(name, value, arrays[name], absolute, case["tolerance"]["rel"])
    return checks


def _stored(case: dict, arrays: dict[str, np.ndarray], name: str, value: Tensor) -> np.ndarray:
    """Return the part of a tensor that the case stores."""
    return value[stored_part(case, name, value.shape, arrays[name].shape)].numpy()
