"""KITTI's files: what is written reads back, and every mistake is one line that says where."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest

from g3d.data.kitti.raw import (
    KittiRoot,
    format_labels,
    format_results,
    parse_objects,
    read_calibration,
    read_labels,
    read_labels_folder,
    read_results,
    read_results_folder,
    read_split,
)
from g3d.data.kitti.splits import standard_split
from g3d.errors import G3DError, InputError, MissingDataError

# NumPy says so of a word that is no number, and stops there; the reader then looks line by line.
pytestmark = pytest.mark.filterwarnings("ignore:string or file could not be read to its end:DeprecationWarning")

CAR = "Car 0.88 3 -0.69 0.00 192.37 402.31 374.00 1.60 1.57 3.23 -2.70 1.74 3.68 -1.29"
DONTCARE = "DontCare -1 -1 -10 800.38 163.67 825.45 184.07 -1 -1 -1 -1000 -1000 -1000 -10"
P2 = "P2: 7.215377000000e+02 0 609.5593 44.85728 0 721.5377 172.854 0.2163791 0 0 1 0.002745884"


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def one_line(error: G3DError) -> str:
    assert "\n" not in error.message
    return error.message


def test_label_fields_land_where_they_belong() -> None:
    objects = parse_objects(f"{CAR}\n{DONTCARE}\n", "here", scored=False)
    assert objects.classes.tolist() == ["Car", "DontCare"]
    assert objects.boxes2d[0].tolist() == [0, 192.37, 402.31, 374]
    assert objects.sizes[0].tolist() == [1.6, 1.57, 3.23]
    assert objects.locations[0].tolist() == [-2.7, 1.74, 3.68]
    assert (objects.rotation_y[0], objects.alpha[0], objects.truncated[0], objects.occluded[0]) == (
        -1.29,
        -0.69,
        0.88,
        3,
    )
    assert objects.occluded.dtype == np.int64
    assert objects.scores is None


def test_labels_are_printed_as_kitti_prints_them() -> None:
    text = f"{CAR}\n{DONTCARE}\n"
    assert format_labels(parse_objects(text, "here", scored=False)) == text


def test_results_in_the_published_layout() -> None:
    objects = parse_objects(
        "Car 0.0 0 1.234567 1 2 3.3333333333333335 4 1 2 3 -0.001 5 6 0.25 0.005678", "here", scored=True
    )
    assert format_results(objects) == "Car 0.0 0 1.23 1.00 2.00 3.33 4.00 1.00 2.00 3.00 -0.00 5.00 6.00 0.25 0.01\n"


def test_results_at_full_precision_read_back_unchanged() -> None:
    numbers = np.random.default_rng(3).normal(size=(20, 12)) * 10.0 ** np.arange(-6, 6)
    text = "".join(f"Cyclist -1 -1 {' '.join(map(repr, map(float, row)))} {float(row[0]) * 3!r}\n" for row in numbers)
    first = parse_objects(text, "here", scored=True)
    second = parse_objects(format_results(first, decimals=None), "there", scored=True)
    for name in ("boxes2d", "sizes", "locations", "rotation_y", "alpha", "truncated", "occluded", "scores"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


def test_labels_are_not_written_as_results() -> None:
    with pytest.raises(ValueError, match="no scores"):
        format_results(parse_objects(CAR, "here", scored=False))


@pytest.mark.parametrize("text", ["", "\n", "  \n\n \n", "\r\n"])
def test_a_file_without_lines_holds_no_objects(tmp_path: Path, text: str) -> None:
    labels, results = read_labels(written(tmp_path, "a.txt", text)), read_results(written(tmp_path, "b.txt", text))
    assert (len(labels), len(results)) == (0, 0)
    assert labels.scores is None
    assert results.scores is not None
    assert results.boxes2d.shape == (0, 4)


def test_trailing_spaces_windows_line_ends_and_blank_lines_mean_nothing() -> None:
    line = "Car -1 -1 0 1 2 3 4 5 6 7 8 9 10 11"
    objects = parse_objects(f"{line} 12.5 \r\n\n \n{line} -3 \n\n", "x", scored=True)
    assert objects.scores is not None
    assert objects.scores.tolist() == [12.5, -3]
    assert objects.occluded.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("line", "scored", "message"),
    [
        (CAR.rsplit(" ", 1)[0], False, "a.txt: line 3 has 14 columns; a label has 15"),
        (CAR + " 0.5 0.5", False, "a.txt: line 3 has 17 columns; a label has 15"),
        (CAR + " 0.5", False, "a.txt: line 3 has 16 columns; a label has 15"),
        (CAR, True, "a.txt: line 3 has 15 columns; a result has 16"),
        (CAR + " 0.5 1", True, "a.txt: line 3 has 17 columns; a result has 16"),
        (
            CAR.replace("1.57", "wide"),
            False,
            "a.txt: line 3, field width (column 10): found 'wide', expected a finite number",
        ),
        (
            CAR.replace("1.57", "nan"),
            False,
            "a.txt: line 3, field width (column 10): found 'nan', expected a finite number",
        ),
        (
            CAR.replace("3.68", "-inf"),
            False,
            "a.txt: line 3, field z (column 14): found '-inf', expected a finite number",
        ),
        (
            CAR.replace("3.68", "1e999"),
            False,
            "a.txt: line 3, field z (column 14): found '1e999', expected a finite number",
        ),
        (
            CAR.replace("3.68", "3_6"),
            False,
            "a.txt: line 3, field z (column 14): found '3_6', expected a finite number",
        ),
        (
            CAR.replace(" 3 ", " 1.5 "),
            False,
            "a.txt: line 3, field occluded (column 3): found '1.5', expected a whole number",
        ),
        (CAR + " NaN", True, "a.txt: line 3, field score (column 16): found 'NaN', expected a finite number"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, scored: bool, message: str) -> None:
    good = CAR + " 0.9" * scored
    path = written(tmp_path, "a.txt", f"{good}\n\n{line}\n{good}\n")
    with pytest.raises(InputError) as caught:
        (read_results if scored else read_labels)(path)
    assert one_line(caught.value).startswith(f"{tmp_path}/{message}")


def test_lines_that_make_up_for_each_other_are_refused() -> None:
    short, long = CAR.rsplit(" ", 1)[0], CAR + " 0.5"
    with pytest.raises(InputError, match="here: line 1 has 14 columns"):
        parse_objects(f"{short}\n{long}\n", "here", scored=False)


def test_type_names_may_look_like_numbers_and_spaces_may_be_any() -> None:
    objects = parse_objects(
        CAR.replace("Car", "1_2").replace(" ", "\t") + "\n" + CAR.replace(" ", "\u00a0"), "here", scored=False
    )
    assert objects.classes.tolist() == ["1_2", "Car"]
    assert objects.locations[0].tolist() == objects.locations[1].tolist() == [-2.7, 1.74, 3.68]


def test_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="byte 4 is not text"):
        read_labels(written(tmp_path, "a.txt", b"Car \xff\x00"))


def test_missing_label_is_missing_data(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"label .*000001\.txt: no such file"):
        read_labels(tmp_path / "000001.txt")


def test_folder_keeps_the_order_of_the_ids_and_the_objects_of_each(tmp_path: Path) -> None:
    written(tmp_path, "000003.txt", f"{CAR}\n{DONTCARE}\n")
    written(tmp_path, "000001.txt", "\n")
    written(tmp_path, "000002.txt", CAR.replace("Car", "Person_sitting"))
    found = read_labels_folder(tmp_path, ["000003", "000001", "000002"])
    assert [(frame, objects.classes.tolist()) for frame, objects in found.items()] == [
        ("000003", ["Car", "DontCare"]),
        ("000001", []),
        ("000002", ["Person_sitting"]),
    ]
    assert found["000002"].locations.tolist() == [[-2.7, 1.74, 3.68]]


def test_missing_results_are_counted_and_named(tmp_path: Path) -> None:
    written(tmp_path, "000001.txt", "")
    with pytest.raises(MissingDataError) as caught:
        read_results_folder(tmp_path, [f"{k:06d}" for k in range(10)])
    assert one_line(caught.value).endswith("9 of 10 frames have no file (000000, 000002, 000003, 000004, 000005, ...)")
    assert "empty file" in (caught.value.hint or "")


def test_missing_results_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="no such folder"):
        read_results_folder(tmp_path / "none", ["000001"])


def test_extra_results_are_logged_and_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path, "000001.txt", "")
    written(tmp_path, "000007.txt", "not a result file at all")
    with caplog.at_level(logging.INFO):
        assert list(read_results_folder(tmp_path, ["000001"])) == ["000001"]
    assert "1 result files of frames outside the split are not used (first: 000007)" in caplog.text


def test_bad_line_in_a_folder_names_its_file(tmp_path: Path) -> None:
    written(tmp_path, "000001.txt", CAR)
    written(tmp_path, "000002.txt", CAR + "\nCar 1 2 3")
    with pytest.raises(InputError, match=r"000002\.txt: line 2 has 4 columns"):
        read_labels_folder(tmp_path, ["000001", "000002"])


def test_calibration_is_read_by_name(tmp_path: Path) -> None:
    path = written(tmp_path, "c.txt", f"R0_rect: 1 0 0\n\n{P2}\nP0: 1 2 3\n\n")
    matrix = read_calibration(path)
    assert matrix.shape == (3, 4)
    assert matrix.dtype == np.float64
    assert matrix[0].tolist() == [721.5377, 0, 609.5593, 44.85728]
    assert matrix[2, 3] == 0.002745884


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("P0: 1 2\nR0_rect: 1\n", "line P2 is missing (found: P0, R0_rect)"),
        ("", "line P2 is missing (found: an empty file)"),
        (" ".join(["1.0"] * 12), "line P2 is missing (found: 12 numbers without a name)"),
        (" ".join(["1.0"] * 16), "line P2 is missing (found: 16 numbers without a name)"),
        (f"{P2}\nP3: 1\n{P2}\n", "line 3 is a second P2"),
        (f"P0: 1\n{P2} 5\n", "line 2: P2 has 13 numbers, expected 12"),
        (P2.replace("172.854", "abc"), "line 1: P2[1, 2] is 'abc', expected a finite number"),
        (P2.replace("172.854", "nan"), "line 1: P2[1, 2] is 'nan', expected a finite number"),
        (P2.replace("721.5377", "0"), "line 1: focal lengths are 721.538 and 0, expected above 0"),
    ],
)
def test_bad_calibration_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_calibration(written(tmp_path, "c.txt", text))
    assert one_line(caught.value).startswith(f"calibration {tmp_path}/c.txt: {message}")


def test_missing_calibration(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="no such file"):
        read_calibration(tmp_path / "c.txt")


def test_standard_splits() -> None:
    # sha256 of the published lists, each id and a line feed
    published = {
        "train": (3712, "e85ce0142be11c7e4196fd7b79a8bc8c2cefdd6fe754ac61fef8d421e37aba5c"),
        "val": (3769, "6e2394d97c866c3af1ffb049f828abdf3d5b707d9575d16885fd0de87b72b0c8"),
    }
    for name, (count, digest) in published.items():
        ids = standard_split(name)
        assert len(ids) == count
        assert hashlib.sha256("".join(f"{frame}\n" for frame in ids).encode()).hexdigest() == digest
    assert sorted(standard_split("train") + standard_split("val")) == standard_split("trainval")
    assert (len(standard_split("trainval")), standard_split("trainval")[-1]) == (7481, "007480")
    assert (len(standard_split("test")), standard_split("test")[-1]) == (7518, "007517")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("000001\n12\n", "line 2: found '12', expected an id of six digits such as 000123"),
        ("000001\n000002.png\n", "line 2: found '000002.png'"),
        ("000001\n000002\n\n000001\n", "line 4: 000001 is already on line 1"),
        ("\n", "found no id"),
    ],
)
def test_bad_split_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_split(written(tmp_path, "s.txt", text))
    assert message in one_line(caught.value)


def test_split_file_keeps_its_order_and_needs_no_last_newline(tmp_path: Path) -> None:
    assert read_split(written(tmp_path, "s.txt", "000009\n000001 \r\n000004")) == ["000009", "000001", "000004"]


@pytest.mark.parametrize("layout", ["training", "object/training", "."])
def test_every_published_layout_is_found(tmp_path: Path, layout: str) -> None:
    (tmp_path / layout / "image_2").mkdir(parents=True)
    written(tmp_path, "ImageSets/val.txt", "000005\n")
    root = KittiRoot.find(tmp_path)
    assert root.image("000005") == tmp_path / layout / "image_2" / "000005.png"
    assert root.calibration("000005") == tmp_path / layout / "calib" / "000005.txt"
    assert root.label("000005") == tmp_path / layout / "label_2" / "000005.txt"
    assert root.split("val") == ["000005"]


def test_testing_part(tmp_path: Path) -> None:
    (tmp_path / "testing").mkdir()
    assert KittiRoot.find(tmp_path, "testing").image("000000") == tmp_path / "testing/image_2/000000.png"


def test_lists_beside_the_data_are_found_from_the_part_itself(tmp_path: Path) -> None:
    (tmp_path / "training" / "image_2").mkdir(parents=True)
    written(tmp_path, "ImageSets/val.txt", "000005\n")
    assert KittiRoot.find(tmp_path / "training").split("val") == ["000005"]


def test_standard_lists_where_there_is_no_imagesets(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    root = KittiRoot.find(tmp_path)
    assert len(root.split("val")) == 3769
    with pytest.raises(InputError, match=r"split 'vall' is unknown; .*; did you mean 'val'\?"):
        root.split("vall")


def test_unknown_split_names_the_lists_there_are(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    written(tmp_path, "ImageSets/minival.txt", "000005\n")
    with pytest.raises(InputError, match=r"split 'val' is unknown.*: minival"):
        KittiRoot.find(tmp_path).split("val")


def test_split_by_path(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    assert KittiRoot.find(tmp_path).split(written(tmp_path, "mine.txt", "000002\n")) == ["000002"]
    with pytest.raises(MissingDataError, match="no such file"):
        KittiRoot.find(tmp_path).split(tmp_path / "other.txt")


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.write_text("x"), lambda p: p.mkdir()])
def test_no_kitti_folder_is_missing_data(tmp_path: Path, make) -> None:
    make(tmp_path / "data")
    with pytest.raises(MissingDataError, match="KITTI data"):
        KittiRoot.find(tmp_path / "data")
