"""Import of published files: JLN and Mono3DVG-TR checkpoints, and MonoDETR and ImageNet weights as a start of training.

Parameter names are the published ones with other prefixes (`PUBLISHED_NAMES`). Every entry of a file is loaded, or the
report states why not. Every entry of the network that a file should contain must be in the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from g3d.errors import InputError
from g3d.nn.import_report import ImportReport
from g3d.nn.weights import load_weights, state_dict_of
from g3d.systems.jln.model import JLN, PUBLISHED_NAMES

_TRANSFORMER = "mono3dvg_transformer."
_ALIASES = {f"{_TRANSFORMER}decoder.bbox_embed.": "bbox_embed.", f"{_TRANSFORMER}decoder.dim_embed.": "dim_embed_3d."}
_TOKENIZER = {"text_encoder._extra_state": "the tokenizer, which text.encoder brings"}
_OLD_MONODETR = {"classifier": "depth_classifier", "encoder_proj": "depth_encoder", "depth_embed": "depth_pos_embed"}
_NEW_SINCE_MONODETR = re.compile(
    r"text_encoder\.|resizer\.|class_embed\.|query_embed\."
    r"|transformer\.(adapter\.|cls_|global_|text_injection_att\.|adapt_)"
    r"|transformer\.encoder\.layers\.\d+\.(cross_attn|norm3)\."
    r"|transformer\.decoder\.layers\.\d+\.(cross_attn_text|norm_text)\."
)  # names in this network


def our_name(published: str) -> str:
    """Return the name in this network of a published parameter."""
    start = next((start for start in PUBLISHED_NAMES if published.startswith(start)), "")
    return PUBLISHED_NAMES.get(start, "") + published.removeprefix(start)


def import_official(checkpoint: Mapping[str, Any], model: JLN) -> ImportReport:
    """Load a published checkpoint of JLN or Mono3DVG-TR.

    The checkpoint contains no tokenizer; `TextEncoder.load_tokenizer` reads one.

    Args:
        checkpoint: the result of `torch.load`: {epoch, model_state, optimizer_state, best_result, best_epoch}, or the
            state dict alone. A `module.` prefix is removed, and the older name `depthaware_transformer` is accepted.
        model: changed only if everything fits.

    Raises:
        InputError: there is no state dict; the file is of the other system, has another text encoder or another number
            of depth bins; or entries are missing, unknown or of another shape (the message lists the first ones).
    """
    stored = state_dict_of(checkpoint, "model_state")
    state = {name.replace("depthaware_transformer", "mono3dvg_transformer"): value for name, value in stored.items()}
    if len(state) < len(stored):
        raise InputError("checkpoint: holds entries both as depthaware_transformer and as mono3dvg_transformer")
    _check_system(state, model)
    ignored = _duplicates(state)
    ignored |= {
        name: "the text encoder's pooler, which nothing uses"
        for name in state
        if name.startswith("text_encoder.pooler.")
    }
    ignored |= {
        name: "a constant that older transformers stored" for name in state if name.endswith("embeddings.position_ids")
    }
    _check_text_encoder({name: value for name, value in state.items() if name not in ignored}, model)
    _check_depth_bins(state, model)
    source = "JLN checkpoint" if model.transformer.joint else "Mono3DVG-TR checkpoint"
    return load_weights(model, state, source, ignored, _TOKENIZER, our_name)


def import_start(checkpoint: Mapping[str, Any], model: JLN) -> ImportReport:
    """Load what a MonoDETR checkpoint shares with this network, to start training; the rest keeps its initial weights.

    The shared parts are the backbone, input projections, depth predictor, visual encoder, the decoder layers that exist
    here, and the box, size, angle and depth heads. The published rule skips the whole transformer in files whose names
    start with `depthaware_transformer.`; here both spellings are accepted, and a file must contain everything that
    MonoDETR shares with this network.

    Raises:
        InputError: there is no state dict, the depth bins differ, or entries are missing or of another shape.
    """
    stored = state_dict_of(checkpoint, "model_state")
    state = {_of_monodetr(name): value for name, value in stored.items()}
    if len(state) < len(stored):
        raise InputError("MonoDETR checkpoint: holds entries under both of their spellings")
    own = model.state_dict()
    ignored = _duplicates(state)
    ignored |= {name: "made anew: other classes" for name in state if name.startswith(("class_embed.", "mean_size"))}
    ignored |= {
        name: "made anew: one query, for the sentence's object" for name in state if name.startswith("query_embed.")
    }
    ignored |= {
        name: "of a part that this network does not have"
        for name in state
        if name not in ignored and our_name(name) not in own
    }
    fresh = {name: "new since MonoDETR" for name in own if _NEW_SINCE_MONODETR.match(name)}
    _check_depth_bins(state, model)
    report = load_weights(model, state, "MonoDETR checkpoint", ignored, fresh, our_name)
    given = {_of_monodetr(name): name for name in stored}  # the report uses the file's own names
    return ImportReport(
        tuple(given[name] for name in report.taken),
        {given[name]: why for name, why in report.ignored.items()},
        report.fresh,
    )


def import_backbone(checkpoint: Mapping[str, Any], model: JLN) -> ImportReport:
    """Load torchvision's ImageNet weights into the backbone.

    The files are resnet50-0676ba61.pth and the older resnet50-19c8e357.pth.

    Raises:
        InputError: there is no state dict, or entries are missing, unknown or of another shape.
    """
    state = state_dict_of(checkpoint, "state_dict")
    own = model.backbone.state_dict()
    ignored = {name: "the classifier of ImageNet" for name in state if name.startswith("fc.")}
    ignored |= {
        name: "a counter that frozen batch norms do not keep"
        for name in state
        if name.endswith("num_batches_tracked") and name not in own
    }
    return load_weights(model.backbone, state, "ResNet weight file", ignored)


def _of_monodetr(name: str) -> str:
    """Return the name in the published JLN of a MonoDETR name in either spelling."""
    name = re.sub(r"^(depthaware_)?transformer\.", _TRANSFORMER, name)
    name = re.sub(rf"^({re.escape(_TRANSFORMER)}encoder\.layers\.\d+)\.self_attn\.", r"\1.msdeform_attn.", name)
    return re.sub(
        r"^depth_predictor\.(\w+)\.", lambda found: f"depth_predictor.{_OLD_MONODETR.get(found[1], found[1])}.", name
    )


def _duplicates(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the weights that a file stores a second time as parts of the decoder, with the reason why each is ignored.

    The published loader also keeps the values stored under the other name.
    """
    reasons = {}
    for name, value in state.items():
        target = next(
            (used + name.removeprefix(start) for start, used in _ALIASES.items() if name.startswith(start)), ""
        )
        if target in state:
            same = torch.equal(value, state[target])
            reasons[name] = "held twice, the other is used" if same else f"{target} is used in its place, which differs"
    return reasons


def _check_system(state: Mapping[str, Tensor], model: JLN) -> None:
    joint = any(name.startswith(f"{_TRANSFORMER}cls_") for name in state)
    if joint and not model.transformer.joint:
        raise InputError("checkpoint: of JLN, but this model is Mono3DVG-TR (model.joint: false)", "use --preset jln")
    if model.transformer.joint and not joint and f"{_TRANSFORMER}level_embed" in state:
        raise InputError(
            "checkpoint: of Mono3DVG-TR, but this model is JLN (model.joint: true)", "use --preset mono3dvg-tr"
        )


def _check_text_encoder(state: Mapping[str, Tensor], model: JLN) -> None:
    """Check that the file's text encoder has the preset's architecture.

    Without this check, hundreds of its entries would be reported one by one.
    """
    found = {
        name.removeprefix("text_encoder."): tuple(v.shape)
        for name, v in state.items()
        if name.startswith("text_encoder.")
    }
    own = {name: tuple(value.shape) for name, value in model.text_encoder.model.state_dict().items()}
    if not found or found == own:
        return
    unequal = [name for name in own if own[name] != found.get(name, own[name])]
    reasons = [f"{unequal[0]} is {found[unequal[0]]}, expected {own[unequal[0]]}"] if unequal else []
    reasons += [
        f"{len(names)} entries {what} (first: {min(names)})"
        for what, names in (("unknown", found.keys() - own.keys()), ("missing", own.keys() - found.keys()))
        if names
    ]
    raise InputError(
        f"checkpoint: its text encoder is not the one of text.architecture: {'; '.join(reasons)}",
        "set text.architecture to what the checkpoint was trained with (published: roberta-base, as in preset jln)",
    )


def _check_depth_bins(state: Mapping[str, Tensor], model: JLN) -> None:
    """Check that the file's depth bins are those of model.depth_bins and model.max_depth, which the losses use."""
    found, own = state.get("depth_predictor.depth_bin_values"), model.depth_predictor.depth_bin_values
    if found is not None and (
        found.shape != own.shape or not torch.allclose(found.float(), own.detach().cpu(), rtol=1e-4, atol=1e-4)
    ):
        raise InputError(
            f"checkpoint: {len(found) - 1} depth bins up to {float(found.max()):g} m, but model.depth_bins is "
            f"{len(own) - 1} "
            f"and model.max_depth {float(own.max()):g}"
        )
