"""The standard splits of KITTI's object benchmark: a division of the 7,481 training frames into train and val.

The division is by Chen et al. (3DOP, NeurIPS 2015) and is used by every published monocular detector. No sequence has
frames in both parts.
"""

from __future__ import annotations

import base64

TRAINVAL_FRAMES = 7481
TEST_FRAMES = 7518

# One bit per frame in ascending order, 1 if the frame belongs to train; base64 of the packed bytes, with the first
# frame in the highest bit.
_TRAIN_BITS = (
    "kX7iJqpeU8if8b+Z3Ufx1XSm7ja+GPjEQqbjXljC3Af0kTyni7miTiYycoxCGZMIlgCGOOXh821ArvMgOaBOUWq2W3iWzDQn+vDvN8DHFcbSXofp2sflRVfx"
    "mi0zlFe4Ic39bQCHbt75JhXs+4Czua9qY01HxHM1pIlqFv7cQMmP6s3I3oDh5TwpRoVqoEIhDc7zBOIM7PkZFUKBoKKAD7SkfgfZ/4EtDSbr9DFC6f7Ga25o"
    "iU/a2vk6Prnmk5B6HYtrUrksgFNJ2iuqj2rdVQ3vR7mpCBics/GYbdNlUM/LFnmUNu91YEjjaTBTlzv+YCEwn158t4Qa4hdBqaPBwRUd9oSYqfDmLSZOBf48"
    "KRusp7ccvkczHulMld9yRMDGRc56lRMHstiXVA448+zEMx5d3JD/kO1WpBr2OQXC13HDFLId3AXy65SlMes624s50G3IKxAetQMpIvL+y5MxhNfEtjB7Ws/g"
    "K4BwttLzXL0mqAXtDTaKIM/tKA3MUFmOl15daMlV9Kg5Fbaa1KDtWsbNKRI2XsSvm2cvdlEVJMPPmswp8Frvn4KAB6mRT+4bewjdBgY8Xuo2Du5tGM9p9Hf/"
    "Mi1QaA/qssni8McH/KZk7X4PxKfHronnnVIl9cXLvvVnWRwpxYmrx2XlnpX1k5axX3UGD3vHFRsu6jdaiqZTILARBxTxAQdg/6Dn2JjwV3qNDGb86RMIwopc"
    "pJ4UsT9GGb42MYT8wBmIZtVVuU8IiXn2sjwF8eKz3BlZovTvBtVZFXYGl4M+SCCHkIER1IQXNsUbPOR6dMg5uG7tB8Bmj7piXCvZNCTYQ5RN/WqRhJdYq1dR"
    "O5AcJQgd2PqxPxJ6QiuhhFRhMNi9+YnJkxWudeaGVrcPYiSLGBip/mkmi5j/8/r8yNuiE8OOEpS837zP62VVHmB5wzFB5w/bDryMT5NFczNqvsZDG/IuYg7b"
    "S/+8DZco58HL3i/0L3u0irHiiBCI6s9jbYuW2RfSixF+QJSAVZDEyeh6FM3BiNtvVleqOz2Nxdda7eM9dJ/eiQVcf7GfQ5fhxDKDdQejlofojjYPghHh/TEJ"
    "hWseh0IzgLXypSsdGNUjx+HeExGujkdJ0NnwWvgOaaGbLgQSQ5CaUWRiTfMzppBU1RaSroLFm9tfHDWGV2uR6VppRGzAGc4yaqJUAi7W+Wpbwk8b2YE1FO/c"
    "ElSrqS1U8lGOCGYF5HjsyI8sKD53rDA64YqCYF2CWhtcQakA"
)

NAMES = ("train", "val", "trainval", "test")


def standard_split(name: str) -> list[str]:
    """Return the ascending six-digit ids of a standard split: train 3,712, val 3,769, trainval 7,481, test 7,518.

    Raises:
        KeyError: `name` is not one of NAMES.
    """
    if name == "test":
        return [f"{frame:06d}" for frame in range(TEST_FRAMES)]
    wanted = {"train": ("1",), "val": ("0",), "trainval": ("0", "1")}[name]
    bits = "".join(f"{byte:08b}" for byte in base64.b64decode(_TRAIN_BITS))
    return [f"{frame:06d}" for frame in range(TRAINVAL_FRAMES) if bits[frame] in wanted]
