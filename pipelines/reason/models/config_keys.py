"""Which settings of a checkpoint's config.json are used, and within what bounds: those that describe its layers.

All others are left out of what an engine sees: among them stand keys by which a library would fetch or run code
(`auto_map`, `_attn_implementation`), open other files (`transformers_weights`) or fill memory (`num_labels`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from framegate.pipelines.reason.models.families import find_family
from framegate.schemas.errors import EngineError

_Check = Callable[[Any], bool]


def _whole(low: int, high: int) -> _Check:
    return lambda value: type(value) is int and low <= value <= high


def _list_of(check: _Check, most: int = 1024) -> _Check:
    return lambda value: isinstance(value, list) and len(value) <= most and all(map(check, value))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) <= 1e12


def _is_bool(value: Any) -> bool:
    return type(value) is bool


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_]{1,64}", value) is not None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 256


_TOKEN: Final = _whole(0, 2**22)
_NUMBERS: Final = _list_of(_is_number)
_ROPE: Final[Mapping[str, _Check]] = {
    **dict.fromkeys(("rope_type", "type"), _is_word),
    **dict.fromkeys(
        ("rope_theta", "factor", "attention_factor", "beta_fast", "beta_slow", "low_freq_factor", "high_freq_factor",
         "partial_rotary_factor", "mscale", "mscale_all_dim", "original_max_position_embeddings"),
        _is_number,
    ),
    **dict.fromkeys(("mrope_section", "short_factor", "long_factor"), _NUMBERS),
    "mrope_interleaved": _is_bool,
    "truncate": _is_bool,
}  # fmt: skip
_TEXT: Final[Mapping[str, _Check]] = {
    "model_type": _is_word,
    "vocab_size": _whole(1, 2**22),
    "hidden_size": _whole(1, 2**16),
    "intermediate_size": _whole(1, 2**20),
    "num_hidden_layers": _whole(1, 1024),
    "num_attention_heads": _whole(1, 1024),
    "num_key_value_heads": _whole(1, 1024),
    "head_dim": _whole(1, 4096),
    "hidden_act": _is_word,
    "max_position_embeddings": _whole(1, 2**26),
    "initializer_range": _is_number,
    "rms_norm_eps": _is_number,
    "attention_bias": _is_bool,
    "attention_dropout": _is_number,
    "use_sliding_window": _is_bool,
    "sliding_window": _whole(1, 2**26),
    "max_window_layers": _whole(0, 2**16),
    "layer_types": _list_of(_is_word),
    "rope_theta": _is_number,
    "tie_word_embeddings": _is_bool,
    "bos_token_id": _TOKEN,
    "eos_token_id": lambda value: _TOKEN(value) or _list_of(_TOKEN, 64)(value),
    "pad_token_id": _TOKEN,
}
_VISION: Final[Mapping[str, _Check]] = {
    "model_type": _is_word,
    "depth": _whole(1, 1024),
    "hidden_size": _whole(1, 2**16),
    "hidden_act": _is_word,
    "intermediate_size": _whole(1, 2**20),
    "num_heads": _whole(1, 1024),
    "in_channels": _whole(1, 16),
    "in_chans": _whole(1, 16),
    "patch_size": _whole(1, 256),
    "spatial_patch_size": _whole(1, 256),
    "spatial_merge_size": _whole(1, 16),
    "temporal_patch_size": _whole(1, 16),
    "tokens_per_second": _is_number,
    "window_size": _whole(1, 2**16),
    "out_hidden_size": _whole(1, 2**16),
    "num_position_embeddings": _whole(1, 2**22),
    "fullatt_block_indexes": _list_of(_whole(0, 1024)),
    "deepstack_visual_indexes": _list_of(_whole(0, 1024)),
    "initializer_range": _is_number,
}
_TOP: Final[Mapping[str, _Check]] = {
    **_TEXT,  # of Qwen2.5-VL, whose text settings stand beside `vision_config`
    **dict.fromkeys(("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"), _TOKEN),
}
_SECTIONS: Final[Mapping[str, Mapping[str, _Check]]] = {"text_config": _TEXT, "vision_config": _VISION}
_ROPES: Final = ("rope_parameters", "rope_scaling")
_QUANTIZATION: Final = "quantization_config"
_METHODS: Final = ("awq", "bitsandbytes", "compressed-tensors", "fbgemm_fp8", "fp8", "gptq", "modelopt")

# Left out without a word: what describes how a file was saved, and what no answer of ours depends on.
_QUIET: Final = frozenset(
    {"_name_or_path", "_commit_hash", "transformers_version", "torch_dtype", "dtype", "use_cache", "architectures",
     "_attn_implementation_autoset", "output_hidden_states", "return_dict", "chunk_size_feed_forward",
     "is_encoder_decoder", "id2label", "label2id", "problem_type", "vision_token_id", "output_attentions",
     "_from_model_config"}
)  # fmt: skip

ARCHITECTURES: Final[Mapping[str, str]] = MappingProxyType(
    {"qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration", "qwen3_vl": "Qwen3VLForConditionalGeneration"}
)
"""The class of each family, whatever a checkpoint calls its own."""


def used_settings(config: Mapping[str, Any], name: str) -> tuple[dict[str, Any], list[str]]:
    """What of a config.json is used, and the names of what is not, those that change nothing aside.

    Raises EngineError, one sentence, for a value that is out of bounds, and for a model of another family.
    """
    model_type = config.get("model_type", "unknown")
    find_family(model_type if isinstance(model_type, str) else "unknown", name)
    unused: list[str] = []
    used = _filter(config, _TOP, "", name, unused)
    for section, checks in _SECTIONS.items():
        if (found := config.get(section)) is None:
            continue
        if not isinstance(found, dict):
            raise _wrong(name, section, found)
        used[section] = _filter(found, checks, f"{section}.", name, unused)
    if quantization := config.get(_QUANTIZATION):
        used[_QUANTIZATION] = _check_quantization(quantization, name)
    return {**used, "architectures": [ARCHITECTURES[model_type]]}, unused


def _filter(
    found: Mapping[str, Any], checks: Mapping[str, _Check], path: str, name: str, unused: list[str]
) -> dict[str, Any]:
    used: dict[str, Any] = {}
    for key, value in found.items():
        if value is None:
            continue  # the default
        if key in _ROPES and checks is not _ROPE:
            if not isinstance(value, dict):
                raise _wrong(name, path + key, value)
            used[key] = _filter(value, _ROPE, f"{path}{key}.", name, unused)
        elif key in checks:
            if not checks[key](value):
                raise _wrong(name, path + key, value)
            used[key] = value
        elif not (key in _QUIET or (not path and (key in _SECTIONS or key == _QUANTIZATION))):
            unused.append(path + key)
    return used


def _check_quantization(value: Any, name: str) -> dict[str, Any]:
    """A method whose settings are numbers, words and lists: some others name classes or files."""
    method = value.get("quant_method") if isinstance(value, dict) else None
    if method not in _METHODS:
        raise EngineError(
            f"the config.json of model '{name}' asks for the quantization {str(method)[:64]!r}; supported:"
            f" {', '.join(_METHODS)}"
        )
    for path, inner in _flat(value, _QUANTIZATION):
        if not (isinstance(inner, bool) or inner is None or _is_number(inner) or _is_text(inner)):
            raise _wrong(name, path, inner)
    return value


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _flat(inner, path)
    else:
        yield path, value


def _wrong(name: str, path: str, value: Any) -> EngineError:
    text = repr(value)
    shown = text if len(text) <= 60 else f"{text[:56]}..."
    return EngineError(
        f"the config.json of model '{name}' gives {path[:100]} the value {shown}, which is none that a model of its"
        " family can have"
    )
