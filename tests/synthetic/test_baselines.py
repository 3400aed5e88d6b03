"""Blind guesses: samples that lack their sentence or their picture, and the box that is right most often."""

from __future__ import annotations

import numpy as np
import torch

from g3d.data.types import ImageSample, Objects
from g3d.synthetic.baselines import NO_SENTENCE, WithoutImage, WithoutSentence, always, mean_image, most_likely_box


class Two:
    """Two samples, one black and one white."""

    ids = ("a", "b")

    def __len__(self) -> int:
        return 2

    def sample(self, index: int, rng: np.random.Generator | None) -> ImageSample:
        image = torch.full((3, 4, 8), 255 * index, dtype=torch.uint8)
        return ImageSample(self.ids[index], image, (16, 8), np.eye(3, 4), np.eye(2, 3), expression=f"the car {index}")


def car(x: float, z: float) -> Objects:
    one = np.zeros(1)
    return Objects(
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
    sample, own = blind.sample(1, None), Two().sample(1, None)
    assert sample.expression == NO_SENTENCE
    assert torch.equal(sample.image, own.image)


def test_without_image_all_share_the_mean_picture() -> None:
    mean = mean_image(Two())
    assert (mean.dtype, mean.shape, int(mean.min()), int(mean.max())) == (torch.uint8, (3, 4, 8), 128, 128)
    samples = [WithoutImage(Two(), mean).sample(index, None) for index in range(2)]
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
    assert [(prediction.sample, prediction.objects) for prediction in always(box, Two())] == [("a", box), ("b", box)]
