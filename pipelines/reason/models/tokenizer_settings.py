"""Which settings of a tokenizer are used: its special tokens, and how it splits. No file that it names is looked for,
no code, and no chat template: prompts are ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from framegate.pipelines.reason.models.model_files import ModelFiles
from framegate.schemas.errors import EngineError

_CLASSES: Final = (
    "Qwen2Tokenizer", "Qwen2TokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend",
)  # fmt: skip
_TOKENS: Final = ("bos_token", "cls_token", "eos_token", "mask_token", "pad_token", "sep_token", "unk_token")
_LISTS: Final = ("additional_special_tokens", "extra_special_tokens")
_SWITCHES: Final = ("add_prefix_space", "clean_up_tokenization_spaces", "split_special_tokens", "add_bos_token")
_PARTS: Final = frozenset({"content", "lstrip", "normalized", "rstrip", "single_word", "special", "__type"})
_ERRORS: Final = ("ignore", "replace", "strict")
# Left out without a word: nothing of ours reads them.
_QUIET: Final = frozenset(
    {"_name_or_path", "name_or_path", "_commit_hash", "transformers_version", "chat_template", "processor_class",
     "padding_side", "truncation_side", "is_local", "model_max_length", "backend", "add_eos_token",
     "special_tokens_map_file", "model_input_names", "local_files_only"}
)  # fmt: skip
_MOST_TOKENS: Final = 65_536
_LONGEST: Final = 512


def used_tokenizer_settings(files: ModelFiles) -> tuple[dict[str, Any] | None, list[str]]:
    """What of tokenizer_config.json is used, and the names of what is not. Raises EngineError."""
    found = files.mapping("tokenizer_config.json")
    if found is None:
        return None, []
    used: dict[str, Any] = {"backend": "tokenizers"} if found.get("backend") == "tokenizers" else {}
    unused: list[str] = []
    for key, value in found.items():
        if key in _QUIET or value is None:
            continue
        if (key == "tokenizer_class" and value in _CLASSES) or (key == "errors" and value in _ERRORS):
            used[key] = value
        elif key == "added_tokens_decoder":
            used[key] = _check_decoder(files.name, value)
        elif key in (*_TOKENS, *_LISTS):
            used[key] = _check_tokens(files.name, "tokenizer_config.json", key, value)
        elif key in _SWITCHES and type(value) is bool:
            used[key] = value
        else:
            unused.append(key)
    return used, unused


def used_special_tokens(files: ModelFiles) -> dict[str, Any] | None:
    """What of special_tokens_map.json is used. Raises EngineError."""
    found = files.mapping("special_tokens_map.json")
    if found is None:
        return None
    return {
        key: _check_tokens(files.name, "special_tokens_map.json", key, value)
        for key, value in found.items()
        if key in (*_TOKENS, *_LISTS) and value is not None
    }


def used_added_tokens(files: ModelFiles) -> dict[str, int] | None:
    """added_tokens.json: names and ids. Raises EngineError."""
    found = files.mapping("added_tokens.json")
    if found is None:
        return None
    if len(found) > _MOST_TOKENS or not all(
        _is_text(name) and type(value) is int and 0 <= value <= 2**22 for name, value in found.items()
    ):
        raise _wrong(files.name, "added_tokens.json", "its tokens")
    return found


def _check_decoder(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > _MOST_TOKENS:
        raise _wrong(name, "tokenizer_config.json", "added_tokens_decoder")
    for key, token in value.items():
        if not (key.isascii() and key.isdigit() and len(key) < 8 and _is_token(token) and isinstance(token, dict)):
            raise _wrong(name, "tokenizer_config.json", f"added_tokens_decoder.{key[:20]}")
    return value


def _check_tokens(name: str, file: str, key: str, value: Any) -> Any:
    tokens = value if isinstance(value, list) and key in _LISTS else [value]
    if isinstance(value, dict) and key in _LISTS and not set(value) <= _PARTS:
        tokens = list(value.values())  # names of a model's own for its tokens
        if not all(_is_text(inner) for inner in value):
            raise _wrong(name, file, key)
    if len(tokens) > _MOST_TOKENS or not all(map(_is_token, tokens)):
        raise _wrong(name, file, key)
    return value


def _is_token(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return _is_text(value)
    switches = {key: inner for key, inner in value.items() if key not in ("content", "__type")}
    return (
        set(value) <= _PARTS
        and _is_text(value.get("content"))
        and value.get("__type", "AddedToken") == "AddedToken"
        and all(type(inner) is bool for inner in switches.values())
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST


def _wrong(name: str, file: str, key: str) -> EngineError:
    return EngineError(
        f"the {file} of model '{name}' gives {key} a value that is none: special tokens are words of at most"
        f" {_LONGEST} characters"
    )
