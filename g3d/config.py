"""Load preset files into one validated, frozen Config.

A preset is a YAML file: `system` names the schema (g3d/systems/<system>/config.py), `extends` names another preset
whose values it starts from. `load` resolves the preset, applies `--set a.b=c` overrides and reports all errors
together, each unknown key with the nearest known key. This module does not import torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from g3d import registry
from g3d.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from importlib.abc import Traversable

_Beta = Annotated[float, Field(ge=0, lt=1)]


class Schema(BaseModel):
    """A section of a preset. Unknown keys are errors, and values cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NormMomentum(Schema):
    """Momentum of the batch norms' running statistics, as a function of the epoch: initial * rate^(epoch // epochs)."""

    initial: PositiveFloat = Field(0.5, le=1, description="share of a batch in the running statistics at the start")
    rate: PositiveFloat = Field(0.5, le=1, description="factor after every `epochs` epochs")
    epochs: PositiveInt = Field(20, description="number of epochs with the same momentum")
    least: NonNegativeFloat = Field(0.001, description="the momentum does not fall below this")


class OptimConfig(Schema):
    """Optimiser and learning-rate schedule (g3d/engine/schedule.py).

    A system with its own optimisers derives from this class and adds their names to `optimizers`.
    """

    optimizers: ClassVar[tuple[str, ...]] = ("adam", "adamw")

    name: str = Field("adam", description="adam adds L2 decay to the gradient, adamw decouples it")
    lr: PositiveFloat = Field(description="base learning rate, for the preset's batch")
    betas: tuple[_Beta, _Beta] = (0.9, 0.999)
    weight_decay: NonNegativeFloat = 0.0
    clip_norm: PositiveFloat | None = Field(None, description="largest norm of the whole gradient; null: no clipping")
    schedule: Literal["step", "cosine", "poly"] = Field(
        "step",
        description="step: lr is multiplied by decay_rate at decay_epochs or decay_steps; cosine: half a cosine from "
        "lr to final_lr over the run; poly: (1 - progress)^power from lr to final_lr over the run",
    )
    schedule_unit: Literal["epoch", "step"] = Field(
        "epoch", description="epoch: the rate is constant within an epoch; step: it is computed for each optimiser step"
    )
    warmup: Literal["cosine", "linear"] = Field("cosine", description="curve of the warm-up from warmup_lr")
    warmup_epochs: NonNegativeInt = Field(0, description="length of the warm-up; 0: none, or see warmup_steps")
    warmup_steps: NonNegativeInt = Field(0, description="length of the warm-up in steps, for schedule_unit: step")
    warmup_lr: NonNegativeFloat = Field(0.0, description="rate at the first epoch or step of the warm-up")
    decay_epochs: tuple[NonNegativeInt, ...] = Field(
        (), description="epochs at which the rate is multiplied by decay_rate"
    )
    decay_steps: tuple[NonNegativeInt, ...] = Field(
        (), description="steps at which the rate is multiplied by decay_rate, for schedule_unit: step"
    )
    decay_rate: PositiveFloat = 0.1
    decay_counts_warmup: bool = Field(
        True,
        description="false: the decay counts from the end of the warm-up, as xinzhuma/monodle does; cosine and poly "
        "then run over the rest of the run. true: from the start of the run",
    )
    final_lr: NonNegativeFloat = Field(0.0, description="rate that cosine and poly reach at the end of the run")
    power: PositiveFloat = Field(1.0, description="exponent of poly; 1: linear")
    norm_momentum: NormMomentum | None = Field(
        None, description="schedule of the batch norms' momentum; null: the network's own, which is constant"
    )

    @field_validator("name")
    @classmethod
    def _known_optimizer(cls, value: str) -> str:
        if value not in cls.optimizers:
            raise ValueError(f"expected one of {', '.join(cls.optimizers)}{did_you_mean(value, cls.optimizers)}")
        return value

    @model_validator(mode="after")
    def _settings_that_are_read(self) -> OptimConfig:
        """Raise ValueError for settings that the chosen schedule does not read, and if final_lr is above lr."""
        unread = {
            "schedule: step": ("final_lr", "power"),
            "schedule: cosine": ("decay_epochs", "decay_steps", "decay_rate", "power"),
            "schedule: poly": ("decay_epochs", "decay_steps", "decay_rate"),
            "schedule_unit: epoch": ("warmup_steps", "decay_steps"),
        }
        for choice in (f"schedule: {self.schedule}", f"schedule_unit: {self.schedule_unit}"):
            for name in unread.get(choice, ()):
                default = type(self).model_fields[name].default
                if getattr(self, name) != default:
                    shown = list(default) if isinstance(default, tuple) else default
                    raise ValueError(f"{choice} does not use {name}: expected its default {shown}")
        for name in ("warmup", "decay"):
            if getattr(self, f"{name}_epochs") and getattr(self, f"{name}_steps"):
                raise ValueError(f"{name}_epochs and {name}_steps exclude each other: expected one of them")
        if self.final_lr > self.lr:
            raise ValueError(f"final_lr: found {self.final_lr:g}, expected at most lr ({self.lr:g})")
        return self


class TrainConfig(Schema):
    """Settings of the training run. `batch` is the effective batch size over all processes and accumulation steps."""

    batch: PositiveInt = Field(
        description="samples per optimiser step, over all processes and accumulated micro-batches"
    )
    accumulate: PositiveInt = Field(1, description="micro-batches per optimiser step")
    epochs: PositiveInt = 1
    workers: NonNegativeInt = Field(4, description="data loading processes per training process")
    seed: NonNegativeInt = 0
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: autocast; weights and optimiser stay fp32")
    tf32: bool = Field(False, description="TF32 matrix products on CUDA")
    compile: bool = Field(False, description="torch.compile the network (needs a host compiler on a CPU)")
    checkpoint_epochs: PositiveInt = Field(10, description="keep a numbered checkpoint every this many epochs")
    save_steps: NonNegativeInt = Field(
        0, description="also write the last checkpoint every this many steps; 0: at the end of each epoch"
    )
    eval_batch: PositiveInt = Field(
        4, description="images or scenes at a time in each process, with all their sentences, in evaluation"
    )
    eval_epochs: NonNegativeInt = Field(
        0, description="evaluate every this many epochs and after the last, and keep the best; 0: never"
    )
    log_steps: PositiveInt = Field(20, description="a metrics.jsonl line every this many steps")
    log_to: tuple[Literal["tensorboard", "wandb"], ...] = Field(
        (), description="besides metrics.jsonl; each needs its extra installed"
    )
    sync_batchnorm: bool = Field(True, description="batch statistics over all processes")


class ImageTrainConfig(TrainConfig):
    """The training run of a system with an image network."""

    channels_last: bool = Field(True, description="channels-last memory layout of weights and images")


class DataConfig(Schema):
    """The data set and its splits. Each system's schema adds its own settings."""

    dataset: str = Field(description="the data set that the preset is for")
    train: str = Field("train", description="split to train on: a name that the data set knows, or a file of ids")
    val: str = Field("val", description="split to evaluate on")


class Published(Schema):
    """Published results, which `eval` prints beside the measured ones. `results` maps split -> metric name -> value."""

    source: str
    results: dict[str, dict[str, float]]


class Config(Schema):
    """The sections that every preset has. Each system's schema adds its own sections.

    Attributes:
        retired: settings (`section.key`) of older versions that had no effect; configs in older checkpoints have them.
    """

    retired: ClassVar[tuple[str, ...]] = ()

    name: str = Field(description="the preset's name")
    system: str
    description: str = ""
    data: DataConfig
    optim: OptimConfig
    train: TrainConfig
    published: Published | None = None

    def to_yaml(self) -> str:
        """Return the resolved preset as YAML text, which `load` and `from_yaml` can read again."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def preset_names() -> list[str]:
    """Return the sorted names of the presets of g3d and of installed packages that add systems."""
    return sorted(_preset_files())


def preset_text(name: str) -> str:
    """Return the text of a preset by its name.

    Raises:
        InputError: no preset has this name.
    """
    files = _preset_files()
    if name not in files:
        near = did_you_mean(name, files)
        raise InputError(f"preset {name!r}: there is none of that name{near}", "g3d presets list shows them all")
    return files[name].read_text(encoding="utf-8")


def _preset_files() -> dict[str, Traversable]:
    """Return the preset files by name. A preset of g3d takes precedence over one of another package."""
    folders: list[Traversable] = [resources.files("g3d.presets")]
    others = [name for name, path in registry.modules(registry.SYSTEMS).items() if not path.startswith("g3d.")]
    folders += [place / "presets" for name in others if (place := registry.folder(registry.SYSTEMS, name))]
    found: dict[str, Traversable] = {}
    for folder in folders:
        for file in folder.iterdir() if folder.is_dir() else ():
            if file.name.endswith(".yaml"):
                found.setdefault(file.name.removesuffix(".yaml"), file)
    return found


def load(preset: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Load a preset by name or path, with `a.b=c` overrides applied.

    Raises:
        InputError: the preset, its system or a key is unknown, a value has the wrong type, or an override is not of
            the form `key=value`. All validation errors of a preset are reported together.
    """
    return validate(_with_overrides(_resolve(str(preset), ()), overrides), source=f"preset {preset}")


def from_yaml(text: str, overrides: Iterable[str] = (), source: str = "config") -> Config:
    """Return a config that `Config.to_yaml` wrote, for example the one in a checkpoint.

    Settings that an older version wrote and that the schema counts as `retired` are left out.

    Raises:
        InputError: as in `load`.
    """
    values = _mapping(text, source)
    system = values.get("system")
    for name in schema(system).retired if isinstance(system, str) else ():
        section, _, key = name.rpartition(".")
        place = values.get(section)
        if isinstance(place, dict):
            place.pop(key, None)
    return validate(_with_overrides(values, overrides), source)


def with_settings_of(config: Config, other: Config, names: Iterable[str]) -> Config:
    """Return a config with some settings (`section.key`) replaced by those of another config of the same system."""
    for name in names:
        section, _, key = name.rpartition(".")
        changed = getattr(config, section).model_copy(update={key: getattr(getattr(other, section), key)})
        config = config.model_copy(update={section: changed})
    return config


def validate(values: Mapping[str, Any], source: str) -> Config:
    """Return the config of a system, validated from plain data.

    Args:
        values: the sections as plain data; `system` names the schema.
        source: where the values come from, for error messages.

    Raises:
        InputError: `system` is missing or unknown, or the values do not fit the schema.
    """
    system = values.get("system")
    if not isinstance(system, str):
        raise InputError(
            f"{source}: system is missing", "a preset starts with `system: monodle`, or with `extends: <preset>`"
        )
    try:
        return schema(system).model_validate(values)
    except ValidationError as error:
        lines = [_explain(item, schema(system)) for item in error.errors()]
        raise InputError(f"{source}: " + "; ".join(lines)) from None


def schema(system: str) -> type[Config]:
    """Return the schema of a system's presets. Importing the schema does not import torch.

    Raises:
        InputError: no system has this name.
    """
    if system not in system_names():
        raise InputError(f"system {system!r}: there is none of that name{did_you_mean(system, system_names())}")
    found: type[Config] = registry.member(registry.SYSTEMS, system, "Config", "config")
    return found


def system_names() -> list[str]:
    """Return the sorted names of all systems."""
    return sorted(registry.modules(registry.SYSTEMS))


def _resolve(preset: str, seen: tuple[str, ...]) -> dict[str, Any]:
    """Return a preset's values, merged over those of the preset that it extends."""
    if preset in seen:
        raise InputError(f"preset {preset}: extends itself ({' -> '.join((*seen, preset))})")
    path = Path(preset)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise InputError(f"preset {preset}: no such file", "g3d presets copy NAME writes one to start from")
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"preset {preset}: byte {error.start} is not text, expected YAML") from None
        except OSError as error:
            raise InputError(f"preset {preset}: cannot be read: {error.strerror}") from None
        values = _mapping(text, str(path))
        values.setdefault("name", path.stem)
    else:
        values = _mapping(preset_text(preset), f"preset {preset}")
        values["name"] = preset
    base = values.pop("extends", None)
    if base is None:
        return values
    if str(base).endswith((".yaml", ".yml")) and path.is_file():
        base = path.parent / str(base)  # a relative path starts at the folder of the extending file
    return _merged(_resolve(str(base), (*seen, preset)), values)


def _mapping(text: str, source: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that does not exist
        raise InputError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise InputError(f"{source}: expected a mapping of keys to values, found {type(values).__name__}")
    return values


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `over` into a copy of `base`, section by section. A value that is not a section is replaced as a whole."""
    result = dict(base)
    for key, value in over.items():
        inner = result.get(key)
        result[key] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return result


def _with_overrides(values: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals or not all(key.split(".")):
            raise InputError(f"--set {item}: expected key=value, e.g. --set optim.lr=1e-4")
        try:
            value = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):
            raise InputError(f"--set {item}: {text!r} is not a YAML value") from None
        for part in reversed(key.split(".")):
            value = {part: value}
        values = _merged(values, value)
    return values


def _explain(item: Any, root: type[BaseModel]) -> str:
    """Return one validation error as text, for example `optim.lrr: unknown key; did you mean 'lr'?`."""
    place = [str(part) for part in item["loc"]]
    name = ".".join(place)
    if item["type"] == "extra_forbidden":
        known = list(_model_at(root, place[:-1]).model_fields)
        return f"{name}: unknown key{did_you_mean(place[-1], known) or ' (known: ' + ', '.join(known) + ')'}"
    if item["type"] == "missing":
        return f"{name}: missing"
    message = item["msg"].removeprefix("Value error, ")
    # The input of a model validator is the whole section, which is too long to show.
    found = "" if isinstance(item["input"], Mapping) else f"found {item['input']!r}: "
    where = f"{name}: " if name else ""  # a check of the whole preset names the settings itself
    return f"{where}{found}{message[0].lower()}{message[1:]}"


def _model_at(model: type[BaseModel], place: list[str]) -> type[BaseModel]:
    """Return the schema class of a nested section; for an optional section, that of its value."""
    for part in place:
        field = model.model_fields.get(part)
        if field is None:
            continue  # pydantic's error path also holds names of union members, which are not keys
        options = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), model)
    return model
