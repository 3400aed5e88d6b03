"""Descriptions of made streets for the tests of sentences."""

from functools import cache
from typing import Any

from g3d.synthetic.streets.labels import label_frame
from g3d.synthetic.streets.render import render
from g3d.synthetic.streets.sampling import sample_scene
from g3d.synthetic.streets.scene import SceneSettings
from g3d.synthetic.streets.world import describe_scene

SETTINGS = SceneSettings((320, 96))


@cache
def scene(index: int, seed: int = 11) -> dict[str, Any]:
    made = sample_scene(SETTINGS, seed, index)
    return describe_scene(made, label_frame(made, render(made, 1)), index)
