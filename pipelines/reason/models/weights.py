"""The files of a checkpoint's weights: which are loaded, and whether they are what config.json says.

Loaded is model.safetensors, or the shards that model.safetensors.index.json names. Where two files could be meant, or
one tensor stands in two, the checkpoint is refused: libraries differ in which they take.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from framegate.pipelines.reason.models.model_files import ModelFiles
from framegate.pipelines.reason.models.tensors import Tensor, read_tensors
from framegate.schemas.errors import EngineError

WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
ADAPTER: Final = "adapter_config.json"
_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.safetensors")
_MOST_FILES: Final = 4096
_LAYERS: Final = (
    ("num_hidden_layers", re.compile(r"(?:^|\.)layers\.(\d{1,9})\.")),
    ("depth", re.compile(r"(?:^|\.)blocks\.(\d{1,9})\.")),
)
# What a family's configuration means where it says nothing, in transformers.
_DEFAULTS: Final[Mapping[str, Mapping[str, int]]] = {
    "qwen2_5_vl": {"num_hidden_layers": 80, "depth": 32, "vocab_size": 152_064, "hidden_size": 8192},
    "qwen3_vl": {"num_hidden_layers": 32, "depth": 27, "vocab_size": 151_936, "hidden_size": 4096},
}
_PLAIN: Final = ("BF16", "F16", "F32", "F64")


def weight_files(files: ModelFiles) -> list[str]:
    """The names of the files that are loaded, sorted. Those of the hub need not be here. Raises EngineError."""
    if not files.is_hub:
        _refuse_adapter(files)
    if files.here(WEIGHTS) is None and (index := files.mapping(INDEX)) is not None:
        named = sorted(set(_weight_map(files, index).values()))
        missing = None if files.is_hub else next((file for file in named if files.here(file) is None), None)
        if missing is not None:
            raise EngineError(
                f"model folder '{files.name}' holds no {missing}, which its {INDEX} names:"
                " it is not a complete checkpoint"
            )
        return named
    if files.is_hub:
        return [WEIGHTS]
    there = [file for file in files.names() if file.endswith(".safetensors") and files.here(file) is not None]
    if not there:
        raise EngineError(f"model folder '{files.name}' holds no *.safetensors: it is not a complete checkpoint")
    if WEIGHTS in there and len(there) > 1:
        other = next(file for file in there if file != WEIGHTS)
        raise EngineError(
            f"model folder '{files.name}' holds {WEIGHTS} and {other[:100]}, and nothing says which are the weights;"
            " take one of them away"
        )
    return there


def check_weights(files: ModelFiles, used: Mapping[str, Any]) -> dict[str, str]:
    """The file of each tensor, from the headers alone. `used` is what `used_settings` left of the configuration.

    Raises EngineError, one sentence, for a file that is no safetensors file or is not whole, an index that is wrong,
    a tensor that stands twice, and layers or a vocabulary that are not those of the configuration.
    """
    places: dict[str, str] = {}
    tensors: dict[str, Tensor] = {}
    for file in weight_files(files):
        for tensor, said in _read(files, file).items():
            if tensor in places:
                raise EngineError(
                    f"the tensor {tensor} of model '{files.name}' stands in {places[tensor]} and in {file}:"
                    " nothing says which is meant"
                )
            places[tensor], tensors[tensor] = file, said
    if files.here(WEIGHTS) is None and (index := files.mapping(INDEX)) is not None:
        for tensor, file in _weight_map(files, index).items():
            if places.get(tensor) != file:
                raise EngineError(
                    f"the {INDEX} of model '{files.name}' says that {file} holds the tensor {tensor[:100]}, which is"
                    " not there"
                )
    _check_layers(files.name, tensors, used)
    _check_vocabulary(files.name, tensors, used)
    return places


def _refuse_adapter(files: ModelFiles) -> None:
    found = next((name for name in files.names() if name.startswith("adapter_")), None)
    if found is not None:
        raise EngineError(
            f"model folder '{files.name}' holds an adapter ({found[:100]}), which would not be loaded; merge it into"
            " the weights, or take it away"
        )


def _weight_map(files: ModelFiles, index: Mapping[str, Any]) -> dict[str, str]:
    found = index.get("weight_map")
    if not isinstance(found, dict) or not found:
        raise EngineError(f"the {INDEX} of model '{files.name}' has no weight_map")
    for file in found.values():
        if not isinstance(file, str) or not _FILE.fullmatch(file):
            raise EngineError(
                f"the {INDEX} of model '{files.name}' names {str(file)[:100]!r}: only *.safetensors files in its folder"
                " are loaded"
            )
    if len(set(found.values())) > _MOST_FILES:
        raise EngineError(f"the {INDEX} of model '{files.name}' names more than {_MOST_FILES} files")
    return found


def _read(files: ModelFiles, file: str) -> Mapping[str, Tensor]:
    path = files.here(file)
    if path is None:
        raise EngineError(f"{file} of model '{files.name}' is not on this machine")
    try:
        return read_tensors(path)
    except ValueError as error:
        raise EngineError(f"the {file} of model '{files.name}' {error}") from None
    except OSError as error:
        raise EngineError(f"the {file} of model '{files.name}' cannot be read: {error.strerror}") from error


def _check_layers(name: str, tensors: Mapping[str, Tensor], used: Mapping[str, Any]) -> None:
    said = {
        "num_hidden_layers": text_setting(used, "num_hidden_layers"),
        "depth": used.get("vision_config", {}).get("depth") or _DEFAULTS[used["model_type"]]["depth"],
    }
    for key, pattern in _LAYERS:
        there = {int(match[1]) for tensor in tensors if (match := pattern.search(tensor))}
        wanted = said[key]
        if there != set(range(wanted)):
            raise EngineError(
                f"the config.json of model '{name}' says {key} {wanted}, and its weights hold {len(there)} such layers"
            )


def _check_vocabulary(name: str, tensors: Mapping[str, Tensor], used: Mapping[str, Any]) -> None:
    wanted = (text_setting(used, "vocab_size"), text_setting(used, "hidden_size"))
    tables: Sequence[Tensor] = [
        tensor for key, tensor in tensors.items() if key.endswith("embed_tokens.weight") and tensor.dtype in _PLAIN
    ]
    if not tables:
        raise EngineError(f"the weights of model '{name}' hold no embed_tokens.weight: its words are missing")
    for table in tables:
        if table.shape != wanted:
            raise EngineError(
                f"the config.json of model '{name}' says vocab_size {wanted[0]} and hidden_size {wanted[1]}, and its"
                f" embed_tokens.weight has the shape {list(table.shape)}"
            )


def text_setting(used: Mapping[str, Any], key: str) -> int:
    """A size of the language model, wherever the configuration says it."""
    return used.get("text_config", {}).get(key) or used.get(key) or _DEFAULTS[used["model_type"]][key]
