"""Every key of a job, read off the schema: its type, default, what it may be, and what it means.

`docs/keys.md` and the comments of `framegate init` are made of it, so that both say what the schema says.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from framegate.schemas.config.run import RunConfig

REQUIRED = "required"
_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key. `default` is YAML, `none`, or REQUIRED; `allowed` is empty where any value of the type is."""

    name: str
    type: str
    default: str
    allowed: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class KeyGroup:
    """The keys of one part of a job, or the one key that is no part."""

    name: str
    about: str
    keys: tuple[Key, ...]


def list_keys(config: type[BaseModel] = RunConfig) -> list[KeyGroup]:
    """All keys of a job by part, in the schema's order. Raises ValueError where one has no description."""
    return [
        KeyGroup(name=name, about=_about(field), keys=tuple(_keys(name, field, config)))
        for name, field in config.model_fields.items()
    ]


def _keys(name: str, field: FieldInfo, owner: type[BaseModel]) -> Iterator[Key]:
    """The key itself, or those of the part that it is. Parts that stand in for each other are merged, key by key."""
    parts = _parts(field.annotation)
    if not parts:
        yield _key(name, [(None, owner, field)])
        return
    labels = [_label(part) for part in parts]
    for inner in dict.fromkeys(key for part in parts for key in part.model_fields):
        having = [
            (label, part, part.model_fields[inner])
            for label, part in zip(labels, parts, strict=True)
            if inner in part.model_fields
        ]
        if _is_part(having[0][2].annotation):
            yield from _keys(f"{name}.{inner}", having[0][2], having[0][1])
            continue
        yield _key(f"{name}.{inner}", having, whole=field)
        for part in dict.fromkeys(part for _, _, other in having for part in _parts(other.annotation)):
            for key, in_place in part.model_fields.items():  # of a part that may stand in place of a value
                yield _key(f"{name}.{inner}.{key}", [(None, part, in_place)])


def _key(
    name: str, having: Sequence[tuple[str | None, type[BaseModel], FieldInfo]], whole: FieldInfo | None = None
) -> Key:
    meanings: dict[str, list[str]] = {}
    for label, part, field in having:
        if not field.description:
            raise ValueError(f"{part.__name__}.{name.rpartition('.')[2]} has no description: say what it means")
        meanings.setdefault(field.description, []).append(label or "")
    meaning = (
        next(iter(meanings))
        if len(meanings) == 1
        else "; ".join(f"`{'`, `'.join(labels)}`: {text}" for text, labels in meanings.items())
    )
    fields = [field for _, _, field in having]
    return Key(
        name=name,
        type=" or ".join(dict.fromkeys(text for field in fields for text in _types(field.annotation))),
        default=_default(name.rpartition(".")[2], fields[0], whole),
        allowed=_allowed(fields),
        meaning=meaning,
    )


def _about(field: FieldInfo) -> str:
    """The first paragraph of a part's docstring; nothing where several parts stand in for each other."""
    parts = _parts(field.annotation)
    return (inspect.getdoc(parts[0]) or "").partition("\n\n")[0].replace("\n", " ") if len(parts) == 1 else ""


def _label(part: type[BaseModel]) -> str | None:
    """The value that tells this part from others in its place: of the key that has one value alone."""
    values = [
        get_args(field.annotation) for field in part.model_fields.values() if get_origin(field.annotation) is Literal
    ]
    return next((str(one) for one, *others in values if not others), None)


def _parts(annotation: Any) -> list[type[BaseModel]]:
    """The parts that a field may hold."""
    if isinstance(annotation, type) and not get_origin(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for inner in get_args(annotation) for part in _parts(inner)]


def _is_part(annotation: Any) -> bool:
    """Whether a field holds parts alone, and no value."""
    inner = [each for each in get_args(annotation) if each is not type(None)]
    if get_origin(annotation) is Annotated:
        return _is_part(inner[0])
    return all(map(_is_part, inner)) if inner else bool(_parts(annotation))


def _types(annotation: Any) -> list[str]:
    if isinstance(annotation, type) and not get_origin(annotation) and issubclass(annotation, BaseModel):
        return ["mapping"]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _types(arguments[0])
    if origin in (Union, types.UnionType):
        return [text for inner in arguments if inner is not type(None) for text in _types(inner)]
    if origin is Literal:
        return ["text"]
    if origin in (tuple, list):
        return [f"list of {' or '.join(_types(arguments[0]))}s"]
    if origin is dict or annotation is dict:
        return ["mapping"]
    return [_NAMES[annotation]]


def _default(name: str, field: FieldInfo, whole: FieldInfo | None) -> str:
    value = field.get_default(call_default_factory=True)
    given = whole.get_default(call_default_factory=True) if whole is not None and not whole.is_required() else None
    if isinstance(given, BaseModel) and name in type(given).model_fields:
        value = getattr(given, name)
    elif field.is_required():
        return REQUIRED
    return show_value(value)


def show_value(value: Any) -> str:
    """A value as YAML on one line; `none` for nothing."""
    if value is None or value == ():
        return "none"
    if isinstance(value, float) and abs(value) >= 1e9:
        return f"{value:g}"
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")


def _allowed(fields: Sequence[FieldInfo]) -> str:
    words = list(dict.fromkeys(word for field in fields for word in _words(field.annotation)))
    if words:
        return ", ".join(f"`{word}`" for word in words)
    metadata = [item for field in fields for item in field.metadata]
    low = next((item for item in metadata if isinstance(item, Ge | Gt)), None)
    high = next((item for item in metadata if isinstance(item, Le | Lt)), None)
    if isinstance(low, Ge) and isinstance(high, Le):
        return f"{_number(low.ge)} to {_number(high.le)}"
    texts = [
        f"at least {_number(low.ge)}" if isinstance(low, Ge) else f"above {_number(low.gt)}" if low else "",
        f"at most {_number(high.le)}" if isinstance(high, Le) else f"below {_number(high.lt)}" if high else "",
        next((f"at most {item.max_length}" for item in metadata if isinstance(item, MaxLen)), ""),
        next(("not empty" for item in metadata if isinstance(item, MinLen)), ""),
    ]
    return ", ".join(text for text in texts if text)


def _words(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [word for inner in get_args(annotation) for word in _words(inner)]


def _number(value: Any) -> str:
    return f"{int(value):,}" if float(value).is_integer() and abs(value) < 1e12 else f"{value:g}"
