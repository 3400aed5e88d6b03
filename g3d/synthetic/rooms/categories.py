"""The label table of the rooms: a part of ScanNet's, with its ids."""

from __future__ import annotations

from g3d.data.scannet.labels import NYU40_NAMES

CATEGORIES: dict[str, tuple[int, str, int]] = {
    "wall": (1, "wall", 1),
    "floor": (3, "floor", 2),
    "ceiling": (41, "ceiling", 22),
    "chair": (2, "chair", 5),
    "office chair": (10, "office chair", 5),
    "armchair": (23, "armchair", 5),
    "stool": (38, "stool", 40),
    "couch": (6, "couch", 6),
    "ottoman": (67, "ottoman", 39),
    "bench": (68, "bench", 39),
    "bed": (11, "bed", 4),
    "pillow": (13, "pillow", 18),
    "table": (4, "table", 7),
    "dining table": (45, "dining table", 7),
    "round table": (108, "round table", 7),
    "coffee table": (24, "coffee table", 7),
    "end table": (44, "end table", 7),
    "desk": (9, "desk", 14),
    "cabinet": (7, "cabinet", 3),
    "file cabinet": (75, "file cabinet", 3),
    "kitchen cabinet": (29, "kitchen cabinet", 3),
    "kitchen cabinets": (29, "kitchen cabinet", 3),
    "bathroom vanity": (1164, "bathroom vanity", 3),
    "dresser": (36, "dresser", 17),
    "nightstand": (34, "nightstand", 32),
    "wardrobe closet": (99, "wardrobe", 39),
    "tv stand": (51, "tv stand", 39),
    "bookshelf": (18, "bookshelf", 10),
    "shelf": (8, "shelf", 15),
    "books": (22, "book", 23),
    "door": (5, "door", 8),
    "window": (16, "window", 9),
    "curtain": (21, "curtain", 16),
    "shower curtain": (55, "shower curtain", 28),
    "picture": (15, "picture", 11),
    "painting": (1218, "painting", 11),
    "mirror": (71, "mirror", 19),
    "whiteboard": (52, "whiteboard", 30),
    "clock": (103, "clock", 40),
    "radiator": (96, "radiator", 39),
    "kitchen counter": (159, "kitchen counter", 12),
    "sink": (14, "sink", 34),
    "refrigerator": (27, "refrigerator", 24),
    "stove": (62, "stove", 38),
    "range hood": (342, "range hood", 38),
    "microwave": (59, "microwave", 40),
    "kettle": (621, "kettle", 40),
    "bowl": (562, "bowl", 40),
    "cup": (130, "cup", 40),
    "bottle": (65, "bottle", 40),
    "toilet": (17, "toilet", 33),
    "toilet paper": (49, "toilet paper", 40),
    "bathtub": (42, "bathtub", 36),
    "towel": (31, "towel", 27),
    "mat": (140, "mat", 20),
    "rug": (61, "rug", 40),
    "lamp": (28, "lamp", 35),
    "table lamp": (28, "lamp", 35),
    "ceiling light": (1168, "ceiling light", 38),
    "plant": (40, "plant", 40),
    "tv": (33, "tv", 25),
    "monitor": (19, "monitor", 40),
    "keyboard": (46, "keyboard", 40),
    "laptop": (77, "laptop", 40),
    "printer": (50, "printer", 40),
    "trash can": (56, "trash can", 39),
    "box": (26, "box", 29),
    "storage bin": (132, "storage bin", 40),
    "backpack": (48, "backpack", 40),
    "suitcase": (93, "suitcase", 40),
    "shoes": (63, "shoe", 40),
    "laundry basket": (106, "laundry basket", 40),
    "guitar": (112, "guitar", 40),
    "ball": (168, "ball", 40),
}
"""ScanNet's id, cleaned category and nyu40 id by raw category."""

# fmt: off
_COLUMNS = (
    "id", "raw_category", "category", "count", "nyu40id", "eigen13id", "nyuClass", "nyu40class", "eigen13class",
    "ModelNet40", "ModelNet10", "ShapeNetCore55", "synsetoffset", "wnsynsetid", "wnsynsetkey", "mpcat40",
    "mpcat40index",
)
# fmt: on


def label_table(counts: dict[str, int]) -> str:
    """The text of scannetv2-labels.combined.tsv; columns that nothing here reads are empty.

    Args:
        counts: number of objects by raw category.
    """
    lines = ["\t".join(_COLUMNS)]
    for raw, (number, category, nyu40) in CATEGORIES.items():
        cells = dict.fromkeys(_COLUMNS, "")
        cells.update(id=str(number), raw_category=raw, category=category, count=str(counts.get(raw, 0)))
        cells.update(nyu40id=str(nyu40), nyu40class=NYU40_NAMES[nyu40])
        lines.append("\t".join(cells[name] for name in _COLUMNS))
    return "\n".join(lines) + "\n"
