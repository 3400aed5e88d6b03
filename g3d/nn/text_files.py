"""Text encoders in Hugging Face's layout: config.json, a tokenizer and weights, from a folder or by a name on the hub.

`transformers` is imported where it is used: it takes seconds, and no other system needs it.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from g3d.data.boundary import first_line, reading
from g3d.data.files import read_text
from g3d.errors import InputError, MissingDataError, did_you_mean

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)

EQUAL_PADS = ("roberta", "xlm-roberta", "camembert", "roberta-prelayernorm", "xlm-roberta-xl")
"""Model types that count positions among the real tokens only, from after the padding position, where all pads stay.
With no token
attending to a pad, the pads of a sentence differ in nothing and come out the same. (BERT gives every pad a position of
its own.)"""

_SAFE = ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json")
_PICKLED = ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json")
_VOCABULARY = ("tokenizer.json", "vocab.json", "vocab.txt")
_SMALL = ("config.json", *_VOCABULARY, "merges.txt", "tokenizer_config.json", "special_tokens_map.json")
_DECISIVE = (
    *(
        "model_type",
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
    ),
    *("max_position_embeddings", "position_embedding_type", "type_vocab_size", "layer_norm_eps", "pad_token_id"),
)  # entries of a config.json that change what an encoder computes


def build(architecture: Mapping[str, Any], max_words: int) -> nn.Module:
    """The network of an architecture with fresh weights, without its pooler where its class can leave it out.

    Raises:
        InputError: an unknown model type or entry, values that do not go together, too few positions for `max_words`.
    """
    config = _config(architecture, "text.architecture")
    positions = getattr(config, "max_position_embeddings", None)
    offset = config.pad_token_id + 1 if config.model_type in EQUAL_PADS else 0
    if positions is not None and max_words + offset > positions:
        raise InputError(
            f"text.max_words: found {max_words}, but text.architecture has positions for {positions - offset} tokens"
        )
    from transformers import MODEL_MAPPING, AutoModel

    takes = inspect.signature(MODEL_MAPPING[type(config)]).parameters if type(config) in MODEL_MAPPING else {}
    with _quiet():
        try:
            model: nn.Module = AutoModel.from_config(
                config, **({"add_pooling_layer": False} if "add_pooling_layer" in takes else {})
            )
        except (ValueError, TypeError, ZeroDivisionError, RuntimeError, KeyError) as error:
            raise InputError(f"text.architecture: no such network: {first_line(error)}") from None
    return model.float()  # whatever number format its config.json names


def locate(encoder: str, offline: bool) -> Path:
    """The folder of an encoder: the one named, or the local copy of a name on the Hugging Face hub, downloaded where it
    lacks files.

    Raises:
        MissingDataError: there is none, and none can be downloaded.
        InputError: neither a folder nor a name.
    """
    folder = Path(encoder).expanduser()
    if folder.is_dir():
        return folder
    if encoder.startswith((".", "/", "~")) or encoder.count("/") > 1:
        raise MissingDataError(f"text encoder {encoder}: no such folder")
    cached = _snapshot(encoder, (), local_only=True)
    if cached is not None and _complete(cached):
        return cached
    hint = (
        "set text.encoder to a folder in Hugging Face's layout, with config.json, tokenizer.json and model.safetensors"
    )
    if offline:
        raise MissingDataError(
            f"text encoder {encoder}: neither a folder nor complete in the local cache, and text.offline is set", hint
        )
    log.info("text encoder %s: downloading from the Hugging Face hub", encoder)
    try:
        cached = _snapshot(encoder, (*_SMALL, *_SAFE))
        if cached is not None and not _has(cached, _SAFE):
            cached = _snapshot(encoder, _PICKLED)
    except InputError:
        raise
    except Exception as error:  # of whichever HTTP library the hub's client uses
        reason = f"cannot be downloaded ({first_line(error)})"
        raise MissingDataError(
            f"text encoder {encoder}: neither a folder nor in the local cache, and {reason}", hint
        ) from None
    if cached is None or not _complete(cached):
        raise MissingDataError(
            f"text encoder {encoder}: the hub lacks its config.json, vocabulary or weights, or is out of reach", hint
        )
    return cached


def read_tokenizer(folder: Path, config: Any) -> Tokenizer:
    """The tokenizer of a folder: its tokenizer.json as it is, or one made from its vocabulary files.

    Raises:
        InputError: there is neither, it is damaged, or it does not fit the architecture `config`.
    """
    file = folder / "tokenizer.json"
    if file.is_file():
        with reading(file, "tokenizer"):
            return parse_tokenizer(read_text(file, "tokenizer"), f"tokenizer {file}", config)
    vocabularies = [name for name in ("vocab.json", "vocab.txt") if (folder / name).is_file()]
    if not vocabularies or (vocabularies[0] == "vocab.json" and not (folder / "merges.txt").is_file()):
        raise InputError(
            f"text encoder {folder}: no vocabulary: expected tokenizer.json, vocab.json with merges.txt, or vocab.txt",
            "copy the tokenizer's files beside the weights",
        )
    from transformers import AutoTokenizer

    with _quiet(), reading(folder, "text encoder", problem=f"its {vocabularies[0]} makes no tokenizer"):
        made = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, use_fast=True)
        text = made.backend_tokenizer.to_str()
    return parse_tokenizer(text, f"tokenizer in {folder}", config)


def parse_tokenizer(text: str, source: str, config: Any) -> Tokenizer:
    """The text of a tokenizer.json -> a tokenizer that neither pads nor cuts.

    Raises:
        InputError: it is damaged; it has more entries than the architecture, or its pad token is another one.
    """
    from tokenizers import Tokenizer

    with reading(source, problem="not a tokenizer that this version of tokenizers can read"):
        tokenizer = Tokenizer.from_str(text)
    entries = 1 + max(tokenizer.get_vocab().values(), default=-1)
    if not entries:
        raise InputError(f"{source}: its vocabulary is empty")
    if entries > config.vocab_size:
        raise InputError(f"{source}: has {entries} entries, but text.architecture.vocab_size is {config.vocab_size}")
    padding = tokenizer.padding["pad_id"] if tokenizer.padding else config.pad_token_id
    if padding != config.pad_token_id or padding < 0 or tokenizer.id_to_token(padding) is None:
        raise InputError(
            f"{source}: text.architecture.pad_token_id is {config.pad_token_id}, which is not its pad token"
        )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def read_weights(folder: Path, model: nn.Module) -> dict[str, Tensor]:
    """The weights of a folder as a state dict for `model`, all of them.

    Raises:
        InputError: no weights; another architecture than the model's; entries missing; damaged.
    """
    config: Any = model.config
    _check_architecture(folder, config)
    if not _has(folder, _SAFE + _PICKLED):
        raise InputError(f"text encoder {folder}: no weights: expected model.safetensors or pytorch_model.bin")
    from transformers import AutoModel

    pooler = {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(type(model)).parameters else {}
    with _quiet(), reading(folder, "text encoder", problem="its weights cannot be read"):
        options = {"local_files_only": True, "output_loading_info": True, **pooler}
        loaded, info = AutoModel.from_pretrained(str(folder), config=config, **options)
    missing = sorted(info["missing_keys"])
    if missing:
        raise InputError(f"text encoder {folder}: its weights lack {len(missing)} entries (first: {missing[0]})")
    return dict(loaded.state_dict())


def _config(entries: Mapping[str, Any], source: str) -> Any:
    """A Hugging Face config with these entries.

    Raises:
        InputError: an unknown model type or entry, values of the wrong type, or no encoder.
    """
    from transformers import CONFIG_MAPPING, AutoConfig

    kind = entries.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        near = did_you_mean(kind, CONFIG_MAPPING.keys())
        raise InputError(f"{source}: model_type: found {kind!r}, which transformers does not know{near}")
    with _quiet():
        try:
            default = AutoConfig.for_model(kind)
            unknown = [entry for entry in entries if not hasattr(default, entry)]
            if unknown:
                near = did_you_mean(unknown[0], default.to_dict())
                raise InputError(f"{source}: {unknown[0]}: unknown entry of a {kind} config{near}")
            config = AutoConfig.for_model(
                **{
                    entry: _of_type(value, getattr(default, entry), f"{source}: {entry}")
                    for entry, value in entries.items()
                }
            )
        except InputError:
            raise
        except Exception as error:  # each version of the library checks other things and raises errors of its own
            raise InputError(f"{source}: {' '.join(str(error).split())}") from None
    if config.is_encoder_decoder or getattr(config, "pad_token_id", None) is None:
        raise InputError(
            f"{source}: model_type: found {kind!r}, expected an encoder that pads its sentences, e.g. roberta or bert"
        )
    return config


def _of_type(value: Any, default: Any, where: str) -> Any:
    """A value as the type of its entry's default; of a default that is neither number, text nor truth, any value as it
    is.

    Raises:
        InputError: it is of another type.
    """
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    kind = next((kind for kind in kinds if isinstance(default, kind)), None)
    if kind is float and type(value) is int:
        return float(value)
    if kind is None or type(value) is kind or (value is None and kind is not bool):
        return value
    raise InputError(f"{where}: found {value!r}, expected {kinds[kind]}")


def _check_architecture(folder: Path, config: Any) -> None:
    """That a folder's config.json is that of `config`, in all that changes what the encoder computes."""
    file = folder / "config.json"
    if not file.exists():
        raise InputError(f"text encoder {folder}: no config.json")
    with reading(file, "text encoder", problem="not valid JSON"):
        entries = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(entries, dict):
        raise InputError(f"text encoder {file}: expected an object, found {type(entries).__name__}")
    if entries.get("position_embedding_type") == "absolute":
        del entries["position_embedding_type"]  # the default; newer transformers know no other
    found = _config({name: value for name, value in entries.items() if name in _DECISIVE}, f"text encoder {file}")
    unequal = [
        f"{name} is {getattr(found, name, None)!r}, expected {getattr(config, name, None)!r}"
        for name in _DECISIVE
        if getattr(found, name, None) != getattr(config, name, None)
    ]
    if unequal:
        hint = "set text.architecture to the entries of its config.json, or text.encoder to another encoder"
        raise InputError(f"text encoder {file}: differs from text.architecture: {'; '.join(unequal)}", hint)


def _snapshot(name: str, patterns: tuple[str, ...], local_only: bool = False) -> Path | None:
    """The local copy of a hub repository, after downloading the files that match; None if `local_only` and there is no
    copy."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import HFValidationError, LocalEntryNotFoundError  # type: ignore[attr-defined]

    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns), local_files_only=local_only))
    except HFValidationError:
        raise InputError(f"text encoder {name!r}: neither a folder nor a name on the Hugging Face hub") from None
    except LocalEntryNotFoundError:
        if local_only:
            return None
        raise


def _complete(folder: Path) -> bool:
    return all(_has(folder, patterns) for patterns in (("config.json",), _VOCABULARY, (*_SAFE, *_PICKLED)))


def _has(folder: Path, patterns: tuple[str, ...]) -> bool:
    return any(True for pattern in patterns for _ in folder.glob(pattern))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars and warnings of transformers; what matters is said in errors of ours."""
    from transformers.utils import logging as noise

    level, bars = noise.get_verbosity(), noise.is_progress_bar_enabled()
    noise.set_verbosity(logging.CRITICAL)
    noise.disable_progress_bar()
    try:
        yield
    finally:
        noise.set_verbosity(level)
        if bars:
            noise.enable_progress_bar()
