"""Text encoders in Hugging Face's layout: config.json, a tokenizer and weights, from a folder or by a name on the hub.

`transformers` is imported inside the functions that use it, because it takes seconds to import and no other system
needs it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from g3d.data.boundary import first_line, reading
from g3d.data.files import read_text
from g3d.errors import InputError, MissingDataError, did_you_mean
from g3d.nn.hub_folder import CONFIG, WEIGHTS, Layout, load_pretrained, quiet, read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

EQUAL_PADS = ("roberta", "xlm-roberta", "camembert", "roberta-prelayernorm", "xlm-roberta-xl")
"""Model types in which all padding tokens of a sentence have equal features.

These types count positions among the real tokens only, beginning after the padding position, and all padding tokens
have the padding position. No token attends to padding, so the padding tokens do not differ. (BERT gives every padding
token its own position.)
"""

_VOCABULARY = {"vocabulary (tokenizer.json, vocab.json or vocab.txt)": ("tokenizer.json", "vocab.json", "vocab.txt")}
_HINT = "set text.encoder to a folder in Hugging Face's layout, with config.json, tokenizer.json and model.safetensors"
_ALSO = ("config.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")
ENCODER = Layout("text encoder", {**CONFIG, **_VOCABULARY, **WEIGHTS}, "text.offline", _HINT, _ALSO)
"""The files of a whole text encoder."""
TOKENIZER = Layout("text encoder", _VOCABULARY, "text.offline", _HINT, _ALSO)
"""The files of the tokenizer only."""
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
    """Return the network of an architecture with newly initialised weights, without its pooler if that is optional.

    Raises:
        InputError: an unknown model type or entry, inconsistent values, or too few positions for `max_words`.
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
    with quiet():
        try:
            model: nn.Module = AutoModel.from_config(
                config, **({"add_pooling_layer": False} if "add_pooling_layer" in takes else {})
            )
        except (ValueError, TypeError, ZeroDivisionError, RuntimeError, KeyError) as error:
            raise InputError(f"text.architecture: no such network: {first_line(error)}") from None
    return model.float()  # regardless of the dtype in its config.json


def read_tokenizer(folder: Path, config: Any) -> Tokenizer:
    """Return the tokenizer of a folder: its tokenizer.json, or a tokenizer made from its vocabulary files.

    Raises:
        MissingDataError: there is neither.
        InputError: it is damaged, or it does not fit the architecture `config`.
    """
    file = folder / "tokenizer.json"
    if file.is_file():
        with reading(file, "tokenizer"):
            return parse_tokenizer(read_text(file, "tokenizer"), f"tokenizer {file}", config)
    vocabulary = next((name for name in ("vocab.json", "vocab.txt") if (folder / name).is_file()), None)
    if vocabulary is None:
        raise MissingDataError(f"{ENCODER.what} {folder}: no vocabulary", _HINT)
    if vocabulary == "vocab.json" and not (folder / "merges.txt").is_file():
        raise MissingDataError(f"{ENCODER.what} {folder}: no merges.txt beside vocab.json", _HINT)
    from transformers import AutoTokenizer

    with quiet(), reading(folder, "text encoder", problem=f"its {vocabulary} makes no tokenizer"):
        made = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, use_fast=True)
        text = made.backend_tokenizer.to_str()
    return parse_tokenizer(text, f"tokenizer in {folder}", config)


def parse_tokenizer(text: str, source: str, config: Any) -> Tokenizer:
    """Return a tokenizer that neither pads nor truncates, from the text of a tokenizer.json.

    Raises:
        InputError: the text is damaged, the tokenizer has more entries than the architecture, or its pad token differs.
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
    """Return the complete weights of a folder as a state dict for `model`.

    Raises:
        InputError: the architecture differs from the model's; weights are missing, of another shape or not finite; or a
            file is damaged.
    """
    config: Any = model.config
    _check_architecture(folder, config)
    from transformers import AutoModel

    pooler = {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(type(model)).parameters else {}
    return dict(load_pretrained(AutoModel, folder, ENCODER.what, config=config, **pooler).state_dict())


def _config(entries: Mapping[str, Any], source: str) -> Any:
    """Return a Hugging Face config with these entries.

    Raises:
        InputError: an unknown model type or entry, values of the wrong type, or no encoder.
    """
    from transformers import CONFIG_MAPPING, AutoConfig

    kind = entries.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        near = did_you_mean(kind, CONFIG_MAPPING.keys())
        raise InputError(f"{source}: model_type: found {kind!r}, which transformers does not know{near}")
    with quiet():
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
        except Exception as error:  # the checks and error types differ between versions of the library
            raise InputError(f"{source}: {' '.join(str(error).split())}") from None
    if config.is_encoder_decoder or getattr(config, "pad_token_id", None) is None:
        raise InputError(
            f"{source}: model_type: found {kind!r}, expected an encoder that pads its sentences, e.g. roberta or bert"
        )
    return config


def _of_type(value: Any, default: Any, where: str) -> Any:
    """Return a value with the type of its entry's default.

    If the default is not a number, text or boolean, any value is returned unchanged.

    Raises:
        InputError: the value has another type.
    """
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    kind = next((kind for kind in kinds if isinstance(default, kind)), None)
    if kind is float and type(value) is int:
        return float(value)
    if kind is None or type(value) is kind or (value is None and kind is not bool):
        return value
    raise InputError(f"{where}: found {value!r}, expected {kinds[kind]}")


def _check_architecture(folder: Path, config: Any) -> None:
    """Raise if a folder's config.json differs from `config` in an entry that changes what the encoder computes."""
    file = folder / "config.json"
    entries = read_json(file, ENCODER.what)
    if entries.get("position_embedding_type") == "absolute":
        del entries["position_embedding_type"]  # the default, and the only value in newer transformers
    found = _config({name: value for name, value in entries.items() if name in _DECISIVE}, f"text encoder {file}")
    unequal = [
        f"{name} is {getattr(found, name, None)!r}, expected {getattr(config, name, None)!r}"
        for name in _DECISIVE
        if getattr(found, name, None) != getattr(config, name, None)
    ]
    if unequal:
        hint = "set text.architecture to the entries of its config.json, or text.encoder to another encoder"
        raise InputError(f"text encoder {file}: differs from text.architecture: {'; '.join(unequal)}", hint)
