"""JLN as the engine uses it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.mono3drefer_world import MICRO, mini_world

from g3d import config as presets
from g3d.data.types import CameraBoxes
from g3d.engine import checkpoint
from g3d.systems.base import grouped
from g3d.systems.jln.system import SYSTEM


@pytest.mark.parametrize("shared", [True, False])
def test_many_sentences_are_asked_in_parts_about_images_encoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    root = mini_world(tmp_path / "mini")
    config = presets.load("jln-tiny", [*MICRO, "decode.maps=true"])
    model = SYSTEM.build(config).eval()
    SYSTEM.start(config, model, root, checkpoint.read_raw)
    samples = SYSTEM.samples(config, root, "train", training=False)
    groups = [samples.read(indices, None) for indices in grouped(samples, range(5))]
    batch = SYSTEM.collate(groups if shared else [[sample] for group in groups for sample in group])
    assert (batch.image_of is not None) == shared
    encoded: list[int] = []
    model.backbone.register_forward_hook(lambda module, inputs, result: encoded.append(len(inputs[0])))
    with torch.inference_mode():
        whole = SYSTEM.predict(model, batch, config)
        monkeypatch.setattr("g3d.systems.jln.system._AT_ONCE", 2)
        parts = SYSTEM.predict(model, batch, config)
    assert encoded == [len(batch.images)] * 2
    assert [p.sample for p in parts] == [p.sample for p in whole] == list(batch.ids)
    for one, other in zip(whole, parts, strict=True):
        ours, theirs = one.answer(CameraBoxes), other.answer(CameraBoxes)
        np.testing.assert_allclose(theirs.locations, ours.locations, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(theirs.boxes2d, ours.boxes2d, rtol=1e-4, atol=1e-2)
        assert one.maps is not None
        assert other.maps is not None
        np.testing.assert_allclose(other.maps["depth"], one.maps["depth"], rtol=1e-4, atol=1e-4)
