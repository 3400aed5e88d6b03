"""Blind guesses: samples that lack their sentence or their picture, and the box that is right most often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from g3d.data.types import CameraBoxes, ImageSample, ImageSource
from g3d.synthetic.baselines import NO_SENTENCE, WithoutImage, WithoutSentence, always, mean_image, most_likely_box


class Two:
    """Two samples, one black and one white."""

    ids = ("a", "b")
    drawn = None

    def __len__(self) -> int:
        return 2

    def group(self, index: int) -> str:
        return self.ids[index]

    def read(self, indices: Sequence[int], rng: np.random.Generator | None) -> list[ImageSample]:
        images = [torch.full((3, 4, 8), 255 * index, dtype=torch.uint8) for index in indices]
        source = ImageSource("a.png", (16, 8), np.eye(3, 4))
        return [
            ImageSample(self.ids[index], image, source, np.eye(2, 3), expression=f"the car {index}")
            for index, image in zip(indices, images, strict=True)
        ]


def car(x: float, z: float) -> CameraBoxes:
    one = np.zeros(1)
    return CameraBoxes(
        np.array(["car"]),
        np.zeros((1, 4)),
        np.array([[1.5, 1.7, 4.2]]),
        np.array([[x, 1.6, z]]),
        one - np.pi / 2,
        one,
        one,
        np.zeros(1, int),
    )


def test_without_sentence_only_the_sentence_changes() -> None:
    blind = WithoutSentence(Two())
    assert (len(blind), blind.ids) == (2, ("a", "b"))
    sample, own = blind.read([1], None)[0], Two().read([1], None)[0]
    assert sample.expression == NO_SENTENCE
    assert torch.equal(sample.image, own.image)


def test_without_image_all_share_the_mean_picture() -> None:
    mean = mean_image(Two())
    assert (mean.dtype, mean.shape, int(mean.min()), int(mean.max())) == (torch.uint8, (3, 4, 8), 128, 128)
    samples = WithoutImage(Two(), mean).read([0, 1], None)
    assert [sample.expression for sample in samples] == ["the car 0", "the car 1"]
    assert samples[0].image is samples[1].image


def test_the_most_likely_box_is_where_most_sentences_objects_are() -> None:
    crowd = [car(3 + 0.1 * k, 10 + 0.1 * k) for k in range(5)]
    once, often = car(-4, 30), car(8, 40)
    assert most_likely_box([once, *crowd]).locations[0, 2] < 12
    found = most_likely_box([*crowd, *[often] * 9])  # nine sentences about one object
    assert found.locations.tolist() == often.locations.tolist()
    assert found.scores is not None


def test_always_answers_every_sample() -> None:
    box = most_likely_box([car(0, 10)])
    assert [(prediction.sample, *prediction.answers) for prediction in always(box, Two())] == [("a", box), ("b", box)]
