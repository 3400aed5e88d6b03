"""Presets: what resolves, what is refused, and how it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from g3d import config
from g3d.errors import InputError


@pytest.mark.parametrize("name", config.preset_names())
def test_every_preset_loads_and_survives_yaml(name: str) -> None:
    preset = config.load(name)
    assert config.from_yaml(preset.to_yaml()) == preset


def test_extends_keeps_what_the_variant_does_not_say() -> None:
    base, variant = config.load("monodle"), config.load("monodle-ddml")
    assert variant.optim == base.optim
    assert (variant.model.object_depth, base.model.object_depth) == (True, False)
    assert variant.loss.quasi_isometric.K == 1.5


def test_published_configuration() -> None:
    preset = config.load("monodle-ddml")
    assert (preset.train.batch, preset.train.epochs, preset.optim.lr, preset.optim.weight_decay) == (
        16,
        140,
        1.25e-3,
        1e-5,
    )
    assert preset.published.results["val"]["Car_3d_moderate_R40"] == 16.53


def test_overrides_take_the_schema_s_types() -> None:
    preset = config.load(
        "monodle-ddml", ["optim.lr=1e-4", "data.classes=[Car, Pedestrian]", "loss.quasi_isometric=null"]
    )
    assert preset.optim.lr == 1e-4
    assert preset.data.classes == ("Car", "Pedestrian")
    assert preset.loss.quasi_isometric is None


def test_all_errors_at_once_with_the_nearest_key() -> None:
    with pytest.raises(InputError) as caught:
        config.load("monodle-ddml", ["optim.lrr=1", "train.batch=many", "data.resolution=[100, 64]"])
    message = str(caught.value)
    assert "optim.lrr: unknown key; did you mean 'lr'?" in message
    assert "train.batch: found 'many'" in message
    assert "data.resolution: found [100, 64]: width and height must be multiples of 32" in message


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("loss.quasi_isometric.KK=1", "loss.quasi_isometric.KK: unknown key; did you mean 'K'?"),
        ("nonsense", "expected key=value"),
        ("=3", "expected key=value"),
        ("optim.lr=[", "is not a YAML value"),
        ("optim.lr=.inf", "finite"),
        ("data.classes=[Bus]", "expected some of Pedestrian, Car, Cyclist"),
        ("train.precision=fp16", "'fp32' or 'bf16'"),
    ],
)
def test_bad_settings_are_refused_in_one_line(setting: str, said: str) -> None:
    with pytest.raises(InputError, match=r"(?s).*") as caught:
        config.load("monodle-ddml", [setting])
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'monodle-ddml'"):
        config.load("monodle-dml")


def test_preset_file_may_extend_a_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: monodle-ddml\ntrain: {batch: 4}\n")
    preset = config.load(str(file))
    assert (preset.name, preset.train.batch, preset.train.epochs) == ("mine", 4, 140)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("system: [", "not valid YAML"),
        ("- a", "expected a mapping"),
        ("optim: {lr: 1}", "system is missing"),
        ("system: monodel", "did you mean 'monodle'"),
        ("extends: self.yaml", "no such file"),
    ],
)
def test_broken_preset_files(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        config.load(str(file))


def test_a_preset_file_may_extend_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("extends: monodle\ntrain: {batch: 4}\n")
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\ntrain: {epochs: 3}\n")
    preset = config.load(str(tmp_path / "mine.yaml"))
    assert (preset.name, preset.train.batch, preset.train.epochs) == ("mine", 4, 3)


def test_a_preset_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match="byte 0 is not text, expected YAML"):
        config.load(str(file))


def test_a_preset_that_extends_itself_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("extends: b.yaml\n")
    Path("b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(InputError, match=r"a.yaml -> b.yaml -> a.yaml"):
        config.load("a.yaml")


@pytest.mark.parametrize("text", ["2024-13-45", "[" * 5000])
def test_yaml_that_its_reader_does_not_foresee_is_an_input_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="is not a YAML value"):
        config.load("monodle", [f"data.val={text}"])
    (tmp_path / "p.yaml").write_text(f"extends: monodle\ndata: {{val: {text}}}")
    with pytest.raises(InputError, match="not valid YAML"):
        config.load(tmp_path / "p.yaml")
