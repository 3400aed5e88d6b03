"""Random sampling of the labelled actors of a street: class, appearance and position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from g3d.geometry.boxes import wrap_angle
from g3d.synthetic.streets import people, vehicles
from g3d.synthetic.streets.meshes import Colour, Model
from g3d.synthetic.streets.scene import CLASSES, Actor, Camera, SceneSettings
from g3d.synthetic.streets.street import Street

KINDS = {
    "Car": {"sedan": 0.28, "hatchback": 0.34, "estate": 0.18, "suv": 0.20},
    "Van": {"minibus": 0.5, "panel van": 0.5},
    "Truck": {"truck": 1.0},
    "Pedestrian": {"adult": 0.88, "child": 0.12},
    "Cyclist": {"cyclist": 1.0},
    "Misc": {"bus": 1.0},
}
_PAINT_SHARES = {
    "silver": 0.19,
    "grey": 0.15,
    "black": 0.17,
    "white": 0.17,
    "blue": 0.12,
    "red": 0.11,
    "green": 0.04,
    "yellow": 0.02,
    "orange": 0.02,
    "brown": 0.01,
}
_WORK_PAINT_SHARES = {"white": 0.55, "silver": 0.15, "blue": 0.1, "grey": 0.1, "red": 0.05, "yellow": 0.05}
_SIZE_SPREADS = {
    "truck": np.array([0.09, 0.02, 0.10]),
    "bus": np.array([0.02, 0.01, 0.06]),
}  # height, width, length, relative
_ON_WHEELS = ("Car", "Van", "Truck", "Misc")
_REACH = 62.0  # largest depth of an actor's centre, metres
_NEAREST = 1.2  # smallest depth of an actor's corners, metres


@dataclass(frozen=True)
class _Slot:
    """A position for an actor: camera-frame x and z, rotation_y, and the place and state of an actor there."""

    x: float
    z: float
    yaw: float
    place: str
    state: str


def sample_actors(rng: np.random.Generator, settings: SceneSettings, camera: Camera, street: Street) -> list[Actor]:
    """Sample actors one after another; each takes the first free slot of a shuffled list that prefers near slots."""
    shares = np.array([settings.shares.get(name, 0.0) for name in CLASSES])
    count = int(np.clip(round(rng.gamma(6.0, 1.25)), 3, 16))
    wanted = rng.choice(CLASSES, size=count, p=shares / shares.sum())
    slots = {
        "wheels": _shuffled(rng, [*_lane_slots(rng, street), *_parking_slots(rng, street)], camera),
        "feet": _shuffled(rng, list(_foot_slots(rng, street)) if "Pedestrian" in wanted else [], camera),
        "bicycle": _shuffled(rng, list(_bicycle_slots(rng, street)) if "Cyclist" in wanted else [], camera),
    }
    actors: list[Actor] = []
    footprints: list[np.ndarray] = []
    for name in sorted(wanted, key=CLASSES.index, reverse=True):  # the large ones first: they would find no room later
        means = "wheels" if name in _ON_WHEELS else "feet" if name == "Pedestrian" else "bicycle"
        for k, slot in enumerate(slots[means]):
            if name in ("Truck", "Misc") and (
                slot.state != "driving" or slot.z < 14
            ):  # nearer ones would fill the image
                continue
            thing = _draw_thing(rng, name, slot, street)
            footprint = _footprint(thing, 0.25)
            if _in_view(thing, camera) and not any(_overlap(footprint, other) for other in footprints):
                actors.append(thing.actor())
                footprints.append(footprint)
                del slots[means][k]
                break
    return sorted(actors, key=lambda actor: float(actor.location[2]))


def _shuffled(rng: np.random.Generator, slots: list[_Slot], camera: Camera) -> list[_Slot]:
    """Return the slots inside the view in random order, near slots earlier on average."""
    focal, centre = camera.matrix[0, 0], camera.matrix[0, 2]
    seen = [
        slot
        for slot in slots
        if 3 < slot.z < _REACH and -60 < slot.x * focal / slot.z + centre < camera.image_size[0] + 60
    ]
    order = [rng.exponential() * np.exp(slot.z / 28) * (0.5 if slot.state == "driving" else 1.0) for slot in seen]
    return [seen[k] for k in np.argsort(order, kind="stable")]


def _lane_slots(rng: np.random.Generator, street: Street) -> Iterator[_Slot]:
    """Yield slots of driving vehicles: in the lanes with random gaps, and on the crossing street."""
    for number, lane in enumerate(street.lanes):
        s = rng.uniform(8, 20) if number == street.own_lane else rng.uniform(5, 16)
        place = "own lane" if number == street.own_lane else "same-direction lane" if lane.forward else "oncoming lane"
        while s < _REACH:
            x, z = street.path.at(s, lane.centre + rng.normal(0, 0.15))
            yield _Slot(
                x, z, street.path.yaw(s, (0.0 if lane.forward else np.pi) + rng.normal(0, 0.02)), place, "driving"
            )
            s += rng.uniform(9, 20)
    if street.crossing is not None:
        across = street.path.crossing(street.crossing)
        for turned, t in ((0.0, street.crossing_width / 4), (np.pi, -street.crossing_width / 4)):
            s = rng.uniform(-30, -20)
            while s < 30:
                x, z = across.at(s, t)
                yield _Slot(x, z, across.yaw(s, turned + rng.normal(0, 0.04)), "crossing street", "driving")
                s += rng.uniform(7, 18)


def _parking_slots(rng: np.random.Generator, street: Street) -> Iterator[_Slot]:
    for row in street.parking:
        s = rng.uniform(2, 7)
        while s < _REACH:
            if street.clear_of_crossing(s, 3.5):
                x, z = street.path.at(s, row.centre + rng.normal(0, 0.3 if row.across else 0.06))
                if row.across:
                    turned = (
                        (np.pi / 2 if row.right else -np.pi / 2)
                        + (np.pi if rng.random() < 0.25 else 0.0)
                        + rng.normal(0, 0.03)
                    )
                else:  # most face in the direction of their side's traffic
                    turned = (
                        (0.0 if row.right or len(street.lanes) == 1 else np.pi)
                        + (np.pi if rng.random() < 0.15 else 0.0)
                        + rng.normal(0, 0.025)
                    )
                yield _Slot(x, z, street.path.yaw(s, turned), "parking", "parked")
            s += rng.uniform(2.6, 3.0) if row.across else rng.uniform(5.3, 7.0)


def _foot_slots(rng: np.random.Generator, street: Street) -> Iterator[_Slot]:
    """Yield slots of pedestrians on the pavements (on the verge of a rural road) and at the zebra crossing."""
    for _ in range(24):
        side = int(rng.integers(2))
        outward = 2 * side - 1
        s = rng.uniform(5, 45)
        if street.pavements[side] > 0:
            t = street.edges[side] + outward * rng.uniform(0.8, max(0.9, street.pavements[side] - 0.4))
        else:
            t = street.edges[side] + outward * rng.uniform(0.1, 0.6)
        x, z = street.path.at(s, t)
        standing = rng.random() < 0.2
        turned = (
            rng.uniform(-np.pi, np.pi) if standing else (np.pi if rng.random() < 0.5 else 0.0) + rng.normal(0, 0.12)
        )
        if street.clear_of_crossing(s, 1.0):
            place = "pavement" if street.pavements[side] > 0 else "roadside"
            yield _Slot(x, z, street.path.yaw(s, turned), place, "standing" if standing else "walking")
    if street.crossing is not None and street.zebra:
        for _ in range(5):
            s = street.crossing - street.crossing_width / 2 - 0.8 - rng.uniform(0.4, 2.6)
            x, z = street.path.at(s, rng.uniform(street.edges[0] + 0.5, street.edges[1] - 0.5))
            yield _Slot(
                x,
                z,
                street.path.yaw(s, rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.1)),
                "zebra crossing",
                "walking",
            )


def _bicycle_slots(rng: np.random.Generator, street: Street) -> Iterator[_Slot]:
    """Yield slots of cyclists at the outer edge of the outermost lanes, in their direction."""
    for _ in range(14):
        lane = street.lanes[int(rng.integers(len(street.lanes)))]
        outward = 1 if lane.forward else -1
        outermost = max(abs(other.centre) for other in street.lanes if other.forward == lane.forward)
        s = rng.uniform(6, 45)
        x, z = street.path.at(s, outward * (outermost + street.lane_width / 2 - rng.uniform(0.4, 0.8)))
        yield _Slot(
            x, z, street.path.yaw(s, (0.0 if lane.forward else np.pi) + rng.normal(0, 0.05)), "road edge", "riding"
        )


@dataclass(frozen=True, eq=False)
class _Thing:
    """An actor without its mesh. Most are sampled and then discarded because there is no room for them."""

    type: str
    kind: str
    colour: str
    size: np.ndarray
    location: np.ndarray
    rotation_y: float
    slot: _Slot
    model: Model
    palette: dict[str, Colour]

    def actor(self) -> Actor:
        mesh = self.model.painted(self.palette, self.size).placed(self.location, self.rotation_y)
        return Actor(
            self.type,
            self.kind,
            self.colour,
            self.size,
            self.location,
            self.rotation_y,
            self.slot.place,
            self.slot.state,
            mesh,
        )


def _draw_thing(rng: np.random.Generator, name: str, slot: _Slot, street: Street) -> _Thing:
    kind = _pick(rng, KINDS[name])
    model, palette, colour, size = (
        _dress_vehicle(rng, kind) if name in _ON_WHEELS else _dress_person(rng, kind, slot.state)
    )
    raised = street.kerb if slot.place == "pavement" else 0.0
    location = np.array([slot.x, street.ground - raised, slot.z]).round(2)
    return _Thing(
        name, kind, colour, size.round(2), location, round(float(wrap_angle(slot.yaw)), 2), slot, model, palette
    )


def _pick(rng: np.random.Generator, shares: Mapping[str, float]) -> str:
    """Return one of the keys at random, with probabilities proportional to their shares."""
    left = rng.random() * sum(shares.values())
    for name, share in shares.items():
        left -= share
        if left < 0:
            return name
    return name


def _dress_vehicle(rng: np.random.Generator, kind: str) -> tuple[Model, dict[str, Colour], str, np.ndarray]:
    model = vehicles.vehicle(kind)
    colour = _pick(rng, _WORK_PAINT_SHARES if kind in ("panel van", "truck", "bus") else _PAINT_SHARES)
    shade = vehicles.PAINTS[colour][int(rng.integers(len(vehicles.PAINTS[colour])))]
    cargo = vehicles.PAINTS[("white", "silver", colour)[int(rng.integers(3))]][0]
    palette = {**vehicles.TRIM, "paint": _scaled(shade, rng.uniform(0.94, 1.05)), "cargo": cargo}
    palette["glass"] = _scaled(palette["glass"], rng.uniform(0.7, 1.6))
    spread = _SIZE_SPREADS.get(kind, np.array([0.03, 0.022, 0.04]))
    return model, palette, colour, model.size * (1 + spread * np.clip(rng.normal(size=3), -1.8, 1.8))


def _dress_person(rng: np.random.Generator, kind: str, state: str) -> tuple[Model, dict[str, Colour], str, np.ndarray]:
    pose = people.POSES - 1 if state == "standing" else int(rng.integers(people.POSES - 1))
    model = people.cyclist(pose) if kind == "cyclist" else people.pedestrian(pose)
    colour = list(people.CLOTHES)[int(rng.integers(len(people.CLOTHES)))]
    trousers, skin, hair = (
        options[int(rng.integers(len(options)))] for options in (people.TROUSERS, people.SKINS, people.HAIRS)
    )
    frame = vehicles.PAINTS[list(vehicles.PAINTS)[int(rng.integers(len(vehicles.PAINTS)))]][0]
    palette = {
        **people.BICYCLE,
        "shirt": people.CLOTHES[colour],
        "trousers": trousers,
        "skin": skin,
        "hair": hair,
        "shoes": (0.12, 0.1, 0.1),
        "frame": frame,
    }
    height = rng.uniform(0.66, 0.86) if kind == "child" else rng.normal(1.0, 0.035)
    return model, palette, colour, model.size * np.clip(height, 0.66, 1.1) * np.array([1, rng.uniform(0.92, 1.12), 1])


def _scaled(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(1.0, channel * factor) for channel in colour)
    return red, green, blue


def _footprint(actor: _Thing, margin: float) -> np.ndarray:
    """Return the corners on the ground, (4, 2), enlarged by `margin` on all sides."""
    along = (actor.size[2] / 2 + margin) * np.array([np.cos(actor.rotation_y), -np.sin(actor.rotation_y)])
    across = (actor.size[1] / 2 + margin) * np.array([np.sin(actor.rotation_y), np.cos(actor.rotation_y)])
    return actor.location[[0, 2]] + np.array([along + across, along - across, -along - across, -along + across])


def _overlap(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether two rectangles overlap, by the separating axis test."""
    for rectangle in (first, second):
        for axis in (rectangle[0] - rectangle[1], rectangle[1] - rectangle[2]):
            a, b = first @ axis, second @ axis
            if a.max() < b.min() or b.max() < a.min():
                return False
    return True


def _in_view(actor: _Thing, camera: Camera) -> bool:
    """Return whether a thing is entirely in front of the camera and at least a quarter of its width is in the image."""
    corners = _footprint(actor, 0.0)
    if corners[:, 1].min() < _NEAREST:
        return False
    columns = camera.matrix[0, 0] * corners[:, 0] / corners[:, 1] + camera.matrix[0, 2]
    left, right = np.clip([columns.min(), columns.max()], 0, camera.image_size[0])
    return bool(right - left >= 0.25 * np.ptp(columns))
