"""Names and counts of the published Mono3DRefer: classes, splits, groups of the test split."""

from __future__ import annotations

CLASS_NAMES = ("pedestrian", "car", "cyclist", "van", "truck", "tram", "bus", "person_sitting", "motorcyclist")
"""Class names in the order of the published class ids."""
SPLITS = ("train", "val", "test")
UNIQUE_GROUPS = ("Unique", "Multiple")
DISTANCE_GROUPS = ("Near", "Medium", "Far")
DIFFICULTY_GROUPS = ("Easy", "Moderate", "Hard")
GROUPS = UNIQUE_GROUPS + DISTANCE_GROUPS + DIFFICULTY_GROUPS
"""Keys of test_instanceID_split.json. The published Multiple is empty; it stands for all objects outside Unique."""
PUBLISHED_IMAGES = 2025
PUBLISHED_OBJECTS = {"train": 5998, "val": 1147, "test": 1083}
"""Number of objects of each split, a fifth of the number of expressions."""
PUBLISHED_EXPRESSIONS = {"train": 29990, "val": 5735, "test": 5415}
PUBLISHED_GROUPS = {
    "Unique": 204,
    "Multiple": 0,
    "Near": 304,
    "Medium": 491,
    "Far": 288,
    "Easy": 466,
    "Moderate": 284,
    "Hard": 333,
}
"""Number of objects in each group's list."""
