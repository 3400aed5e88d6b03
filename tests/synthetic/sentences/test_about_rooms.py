"""Every sentence about a room is true of exactly one of its objects: a second reading of its meaning, written apart
from the generator, finds only that."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.room_truth import called, fits, furnished, furnishings, lacks, leftness, shaken, the

from g3d.errors import InputError
from g3d.synthetic.sentences.about_rooms import STYLES, RoomSentence, describe_room, tells_apart
from g3d.synthetic.sentences.rooms_facts import RoomFacts, read_room
from g3d.synthetic.sentences.rooms_statements import FAMILIES, ORDERS, holds
from g3d.synthetic.sentences.statements import Statement

ROOMS = range(20)
COUNT = 12


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[dict[str, Any], str, RoomSentence]]:
    """The sentences about 20 rooms in all styles, with the rooms' descriptions."""
    folder = tmp_path_factory.mktemp("rooms")
    found = []
    for index in ROOMS:
        description = described(index)
        room = facts(folder / f"{index}.json", description)
        found += [
            (description, style, sentence) for style in STYLES for sentence in describe_room(room, COUNT, 3, style)
        ]
    return found


@cache
def described(index: int) -> dict[str, Any]:
    return furnished(index)


def facts(path: Path, description: dict[str, Any]) -> RoomFacts:
    path.write_text(json.dumps(description))
    return read_room(path)


def form(sentence: RoomSentence) -> list[Any]:
    """Return a sentence's statements as they are in the file of forms."""
    return list(json.loads(json.dumps(sentence.meaning)))


def test_every_sentence_is_true_of_one_object_only(said: list[tuple[dict[str, Any], str, RoomSentence]]) -> None:
    assert len(said) > 20 * 3 * COUNT * 0.9
    for room, _, sentence in said:
        assert fits(form(sentence), room) == [sentence.object], (room["scene"], sentence)


def test_a_small_change_of_the_room_changes_no_answer(said: list[tuple[dict[str, Any], str, RoomSentence]]) -> None:
    for k, (room, _, sentence) in enumerate(said):
        assert fits(form(sentence), shaken(room, k)) == [sentence.object], (room["scene"], sentence)


def test_nothing_is_left_or_right_of_what_a_person_has_behind(
    said: list[tuple[dict[str, Any], str, RoomSentence]],
) -> None:
    checked = 0
    for room, _, sentence in said:
        for family, value in form(sentence):
            viewed = family in ("left of", "right of", "side") or (family == "order" and value[0].endswith("most"))
            if viewed:
                ways = the(value[-1], room)["front"]
                place = next(e["center"] for e in furnishings(room) if e["object_id"] == sentence.object)
                depth = room["size"][0] if abs(ways[0]) > 0.5 else room["size"][1]
                assert ways[0] * place[0] + ways[1] * place[1] < 0.26 * depth, (room["scene"], sentence)
                checked += 1
    assert checked > len(said) / 4


def test_the_text_has_the_words_of_its_meaning(said: list[tuple[dict[str, Any], str, RoomSentence]]) -> None:
    for _, style, sentence in said:
        assert not lacks(form(sentence), sentence.text), sentence
        assert sentence.text == sentence.text.lower()
        assert sentence.text.endswith(".") == (style == "scanrefer")
        assert "{" not in sentence.text
        assert 3 <= len(sentence.text.split()) <= 60
        for pair in (("wardrobe", "closet"), ("couch", "sofa"), ("trash can", "garbage can"), ("gray", "grey")):
            assert not all(word in sentence.text for word in pair), sentence.text  # one word for one thing


def test_what_the_sentences_need_and_state_varies(said: list[tuple[dict[str, Any], str, RoomSentence]]) -> None:
    families = Counter(family for _, _, sentence in said for family, _ in sentence.meaning)
    assert set(families) == set(FAMILIES)
    assert {value[0] for _, _, s in said for family, value in s.meaning if family == "order"} == set(ORDERS)
    ours = [(room, sentence) for room, style, sentence in said if style == "scanrefer"]
    several = [len(called((s.meaning[0].value, None), furnishings(room))) > 1 for room, s in ours]
    assert 1 / 3 < sum(several) / len(several) < 0.95
    colourless = [[part for part in form(s) if part[0] in ("noun", "colour")] for _, s in ours]
    assert sum(len(fits(part, room)) > 1 for part, (room, _) in zip(colourless, ours, strict=True)) > len(ours) / 4
    assert len({s.text for _, s in ours}) > 0.95 * len(ours)


def test_sr3d_states_one_relation_and_nr3d_needs_others_of_the_label(
    said: list[tuple[dict[str, Any], str, RoomSentence]],
) -> None:
    for room, style, sentence in said:
        if style == "sr3d":
            assert [family for family, _ in sentence.meaning][:1] == ["noun"]
            assert len(sentence.meaning) == 2
        if style != "scanrefer":
            labels = [entry["label"] for entry in furnishings(room) if entry["label"] == sentence.meaning[0].value]
            assert len(labels) > 1


def test_seed_and_count_decide_the_sentences(tmp_path: Path) -> None:
    room = facts(tmp_path / "room.json", described(0))
    first, again = (describe_room(room, 8, 1, "scanrefer") for _ in range(2))
    assert first == again
    assert len(first) == 8
    assert len({sentence.object for sentence in first}) == 8
    assert describe_room(room, 8, 2, "scanrefer") != first
    assert len(describe_room(room, 60, 1, "scanrefer")) == 60


def test_near_ties_and_confusable_names_are_undecided(tmp_path: Path) -> None:
    room = described(0)
    one, two, door = (dict(entry) for entry in furnishings(room)[:3])
    one.update(label="box", colour="white", center=[1.0, 0.0, 0.2], extent=[0.3, 0.3, 0.4])
    two.update(label="box", colour="beige", center=[1.0, 0.2, 0.2], extent=[0.3, 0.3, 0.4])
    door.update(label="door", center=[-1.5, 0.0, 1.0], extent=[0.1, 1.0, 2.0], front=[1.0, 0.0])
    for number, entry in enumerate((one, two, door)):
        entry.update(object_id=number, support={"on": "floor"}, size=entry["extent"])
    made = facts(tmp_path / "room.json", {**room, "objects": [one, two, door]})
    first, second = made.things[:2]
    nearest = Statement("order", ("nearest", "box", None, ("door", None)))
    assert [holds(nearest, thing, made) for thing in (first, second)] == [None, None]
    assert holds(Statement("colour", "white"), second, made) is None
    assert holds(Statement("noun", "storage bin"), first, made) is None
    assert holds(Statement("noun", "door"), first, made) is False
    left = [leftness(entry["center"], door) for entry in (one, two)]
    assert left[0] > left[1]
    assert holds(Statement("left of", (("box", "beige"), ("door", None))), first, made) is None  # "beige" may be either
    far = facts(tmp_path / "far.json", {**room, "objects": [one, {**two, "center": [-0.5, 1.4, 0.2]}, door]})
    assert [holds(nearest, thing, far) for thing in far.things[:2]] == [False, True]
    meaning = (Statement("noun", "box"), nearest)
    assert [tells_apart(meaning, thing, far) for thing in far.things[:2]] == [False, True]


def test_a_view_along_a_wall_decides_nothing_about_things_on_it(tmp_path: Path) -> None:
    room = described(0)
    door, one, two = (dict(entry) for entry in furnishings(room)[:3])
    door.update(label="door", center=[-1.7, 0.0, 1.0], extent=[0.1, 1.0, 2.0], front=[1.0, 0.0])
    one.update(label="picture", center=[-0.4, 1.7, 1.3], extent=[0.7, 0.07, 0.6])
    two.update(label="tv", center=[0.5, 1.7, 1.2], extent=[0.7, 0.07, 0.6], front=[0.0, -1.0])
    for number, entry in enumerate((door, one, two)):
        entry.update(object_id=number, support={"on": "wall"}, size=entry["extent"])
    made = facts(tmp_path / "room.json", {**room, "objects": [door, one, two]})
    truths = {
        (side, seen): holds(Statement(f"{side} of", (("tv", None), (seen, None))), made.things[1], made)
        for side in ("left", "right")
        for seen in ("door", "tv")
    }
    assert truths == {("left", "tv"): True, ("right", "tv"): False, ("left", "door"): None, ("right", "door"): None}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "g3d.room/0"}, 'schema: found "g3d.room/0", expected g3d.room/1'),
        ({"objects": [{"label": "sofa"}]}, 'label: found "sofa"'),
        ({"size": [1, 2]}, "size: found [1, 2], expected 3 finite numbers"),
    ],
)
def test_a_damaged_description_is_named(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        facts(tmp_path / "room.json", {**described(0), **change})
    assert says in str(error.value)
    assert str(tmp_path / "room.json") in str(error.value)
