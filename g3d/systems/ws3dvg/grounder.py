"""WS-3DVG with the words of its sentences: the network that g3d trains, stores and asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from g3d import config as presets
from g3d.data.scannet.labels import DETECTION18_NAMES
from g3d.errors import InputError
from g3d.nn.groupfree import position_aliases
from g3d.nn.import_report import ImportReport
from g3d.nn.weights import load_weights, state_dict_of
from g3d.systems.ws3dvg.config import Config
from g3d.systems.ws3dvg.model import WS3DVG, Outputs, Scenes, Sentences
from g3d.systems.ws3dvg.model_config import ModelConfig
from g3d.systems.ws3dvg.words import Words, Written

_OURS = "g3d_format"  # the entry of g3d's own checkpoints


class Grounder(WS3DVG):
    """WS-3DVG's network and its words; a checkpoint of it is enough to answer sentences.

    Args:
        config: settings, with the sizes of vocabulary and word vectors.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        fault = config.faults.mask_value_two_is_padding
        self.words = Words(config.vocabulary, config.word_channels, config.replaced_words, fault)

    def forward(
        self,
        points: Tensor,
        view_features: Tensor | None,
        sentences: Sentences | Sequence[Sequence[Written]],
        teach: bool = True,
        rows: int = 0,
    ) -> Outputs:
        """Return the outputs for sentences about scenes, whose words the teacher sees as it draws them.

        Args:
            points: (B, N, 3 + input_features) float32, see WS3DVG.
            view_features: (B, N, V) float32; None for zeros.
            sentences: about each scene.
            teach: whether the teacher runs.
            rows: L, for sentences that are not yet tensors.
        """
        if not isinstance(sentences, Sentences):
            sentences = self.words.encode(sentences, rows, points.device, teach, drawn=True)
        return super().forward(points, self.views(points, view_features), sentences, teach)

    def views(self, points: Tensor, view_features: Tensor | None) -> Tensor:
        """Return the view features (B, N, V) of points (B, N, F); zeros, which take no memory, for None."""
        if view_features is not None:
            return view_features
        return points.new_zeros(()).expand(*points.shape[:2], self.config.view_features)


def one_of(scenes: Scenes, number: int) -> Scenes:
    """Return one of B encoded scenes as a batch of one."""
    part, found = slice(number, number + 1), scenes.proposals
    proposals = replace(found, **{name: getattr(found, name)[part] for name in vars(found)})
    return Scenes(proposals, scenes.features[part])


def load_detector(model: WS3DVG, content: dict[str, Any], path: Path) -> ImportReport:
    """Load the frozen detector's weights, strictly, from the content of a checkpoint.

    Args:
        model: the network.
        content: of a g3d checkpoint of system groupfree or votenet; or of a published one of this detector, whole or
            the state dict alone.
        path: the file, for messages.

    Raises:
        InputError: the file is of another detector or another class list, or its entries do not fit.
    """
    detector, source = model.config.detector, f"detector weights {path}"
    if _OURS in content:
        found = content.get("system")
        if found != detector:
            raise InputError(f"{source}: of system {found}, expected {detector}", "see model.detector")
        state = state_dict_of(content, "model")
    else:
        state = state_dict_of(content, "model" if detector == "groupfree" else "model_state_dict")
    _check_classes(model, state, source)
    hint = "do model.channels, model.width, model.decoder_layers and model.input_features fit the file?"
    if detector == "groupfree":
        return load_weights(model.group_free, state, source, position_aliases(state, source), hint=hint)
    parts = nn.ModuleDict({name: getattr(model, name) for name in ("backbone_net", "vgen", "pnet")})
    return load_weights(parts, state, source, hint=hint)


def detector_differences(content: Mapping[str, Any], path: Path, config: Config) -> list[str]:
    """Return the settings that a detector of g3d was trained with and that are different here, though weights fit.

    Args:
        content: of a checkpoint; a published one states no settings.
        path: the file, for messages.
        config: the preset that the detector is used in.
    """
    if _OURS not in content:
        return []
    theirs: Any = presets.from_yaml(str(content.get("config")), source=f"config in {path}")
    pairs = {
        f"{section}.{name}": (getattr(getattr(theirs, section), name), getattr(getattr(config, section), name))
        for section, name in (("data", "points"), ("model", "samples"), ("model", "proposals"))
    }
    return [
        f"{path}: the detector was trained with {name}={_shown(then)}, here it is {_shown(now)}"
        for name, (then, now) in pairs.items()
        if then != now
    ]


def _shown(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _check_classes(model: WS3DVG, state: dict[str, Tensor], source: str) -> None:
    """Check that a detector has the 18 classes of ScanNet, by the outputs of its last layer."""
    if model.config.detector == "groupfree":
        name, own = "proposal_head.sem_cls_scores_head.weight", model.group_free.state_dict()
    else:
        name, own = "conv3.weight", model.pnet.state_dict()
    expected = len(own[name])
    given = state.get(name if model.config.detector == "groupfree" else f"pnet.{name}")
    if given is not None and given.dim() and len(given) != expected:
        raise InputError(
            f"{source}: another class list: found {len(given)} outputs in {name}, expected {expected} for the "
            f"{len(DETECTION18_NAMES)} classes of ScanNet ({', '.join(DETECTION18_NAMES[:3])}, ...)",
            "use a detector that was trained on ScanNet's 18 detection classes",
        )
