"""YAML and other small files that a person wrote, read in bounded time and memory; every fault is one sentence.

YAML is read as plain values: mappings with keys of text, lists, texts, numbers, dates, true, false and null. PyYAML
alone keeps the last of two equal keys, expands aliases without bound (a few lines become gigabytes once they are
walked), and raises errors of Python's own at a date such as 2026-99-99. A document is looked at event by event before
anything is made of it, so that what is too large or too deep is refused before it takes memory.

No sentence repeats a value of the file: it may be a credential. It says the line.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from framegate.schemas.errors import ConfigError
from framegate.schemas.escape import escape, is_unicode

MAX_BYTES: Final = 4 << 20
"""Of a file. A bank of 10,000 questions has 2 MB."""

MAX_NODES: Final = 200_000
"""Keys and values of a file, each counted as often as aliases repeat it. 10,000 questions have some 100,000."""

MAX_DEPTH: Final = 32
_MAX_NUMBER_CHARACTERS: Final = 64
_MAX_INTEGER: Final = 2**63
_OCTAL: Final = re.compile(r"[+-]?0[0-7_]*[1-7][0-7_]*")
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, ten times as fast, where it is built in
_TAG: Final = "tag:yaml.org,2002:"
_PLAIN: Final = frozenset(f"{_TAG}{name}" for name in ("map", "seq", "str", "null", "merge"))
_TYPED: Final = frozenset(f"{_TAG}{name}" for name in ("bool", "int", "float", "timestamp"))
_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_yaml(path: str | Path, what: str) -> object:
    """The one document of a file. `what` is what errors call it: `the job file`. Raises ConfigError."""
    return parse_yaml(read_text(path, what), f"{what} {escape(str(path))}")


def read_text(path: str | Path, what: str, *, max_bytes: int = MAX_BYTES) -> str:
    """A regular file in UTF-8, with or without a byte order mark. Raises ConfigError for any other, at once: neither
    does it wait for the writer of a pipe, nor read a device without end."""
    name = f"{what} {escape(str(path))}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                kind = next((words for is_kind, words in _KINDS if is_kind(mode)), "no file")
                raise ConfigError(f"{name} is {kind}; give a file")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(max_bytes + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise ConfigError(f"{name} does not exist") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        said = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{name} cannot be read: {said}") from None
    if len(data) > max_bytes:
        raise ConfigError(f"{name} has more than {max_bytes:,} bytes, which is the most that is read")
    return _decode(data, name)


def parse_yaml(text: str, name: str) -> object:
    """The value of the one document in a text. Raises ConfigError, which begins with `name`."""
    try:
        _check_size(text, name)
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_values(node, loader, name)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is no valid YAML: {_words(error)}") from None


def _decode(data: bytes, name: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(f"{name} is written in UTF-16 or UTF-32; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{name} is not written in UTF-8 (byte 0x{data[error.start]:02x} in line {line}); save it as UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ConfigError(f"{name} holds a NUL character in line {line}; save it as plain text in UTF-8")
    return text


def _check_size(text: str, name: str) -> None:
    """Raises ConfigError where the document is too large or too deep with its aliases written out, or is not alone."""
    tree, num_documents = _Tree(name), 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            num_documents += 1
            if num_documents > 1:
                raise ConfigError(f"{name} holds a second document from line {line} on; keep one in a file")
        elif isinstance(event, yaml.AliasEvent):
            tree.repeat(event.anchor, line)
        elif isinstance(event, yaml.ScalarEvent):
            tree.begin(event.anchor, line)
            tree.end(line)
        elif isinstance(event, yaml.CollectionStartEvent):
            tree.begin(event.anchor, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            tree.end(line)


class _Tree:
    """How many nodes a document has, and how deep they lie, with every alias as a copy of what it names."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._open: list[tuple[str | None, list[int]]] = []  # anchor, and [nodes, height] so far
        self._known: dict[str, tuple[int, int]] = {}
        self._num_seen = 0

    def begin(self, anchor: str | None, line: int) -> None:
        self._open.append((anchor, [1, 0]))
        self._num_seen += 1
        self._check(self._num_seen, 0, line)

    def end(self, line: int) -> None:
        anchor, (num_nodes, height) = self._open.pop()
        if anchor is not None:
            self._known[anchor] = (num_nodes, height)
        self._add(num_nodes, height, line)

    def repeat(self, anchor: str, line: int) -> None:
        if any(anchor == other for other, _ in self._open):
            raise ConfigError(f"{self._name}: line {line} refers to what it is a part of (*{escape(anchor)})")
        if anchor not in self._known:
            raise ConfigError(f"{self._name}: line {line} refers to *{escape(anchor)}, and no &{escape(anchor)} is"
                              " above it")  # fmt: skip
        self._add(*self._known[anchor], line)

    def _add(self, num_nodes: int, height: int, line: int) -> None:
        if self._open:
            above = self._open[-1][1]
            above[0] += num_nodes
            above[1] = max(above[1], height + 1)
            self._check(above[0], height, line)

    def _check(self, num_nodes: int, height: int, line: int) -> None:
        if num_nodes > MAX_NODES:
            raise ConfigError(
                f"{self._name} stands for more than {MAX_NODES:,} keys and values, reached in line {line}; aliases"
                " count as often as they repeat something"
            )
        if len(self._open) + height > MAX_DEPTH:
            raise ConfigError(f"{self._name} is nested deeper than {MAX_DEPTH} levels in line {line}")


def _check_values(root: yaml.Node, loader: Any, name: str) -> None:
    """Raises ConfigError for what is no plain value, a key that stands twice, and a number that nothing here takes."""
    for node in _nodes(root):
        if node.tag == f"{_TAG}value":  # a bare `=`
            node.tag = f"{_TAG}str"
        if node.tag not in _PLAIN and node.tag not in _TYPED:
            _refuse(name, node, f"has the tag {_tag(node.tag)}, and plain values alone are read; leave the tag out")
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, name)
        elif isinstance(node, yaml.ScalarNode) and node.tag in _TYPED:
            _check_typed(node, loader, name)
        elif isinstance(node, yaml.ScalarNode) and ("\0" in node.value or not is_unicode(node.value)):
            _refuse(name, node, "holds a NUL character or half of a character, written as an escape; take it out")


def _nodes(root: yaml.Node) -> Iterator[yaml.Node]:
    """Each node once, however often aliases repeat it."""
    waiting, seen = [root], {id(root)}
    while waiting:
        node = waiting.pop()
        yield node
        inner = []
        if isinstance(node, yaml.MappingNode):
            inner = [each for pair in node.value for each in pair]
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value
        for each in inner:
            if id(each) not in seen:
                seen.add(id(each))
                waiting.append(each)


def _check_keys(node: yaml.MappingNode, name: str) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            _refuse(name, key, "has a list or a mapping for a key; a key is a text")
        if key.tag not in (f"{_TAG}str", f"{_TAG}value", f"{_TAG}merge"):
            _refuse(name, key, "has a key that is no text (a number, a date, yes, no or null); put it in quotes")
        if key.value in lines:
            _refuse(name, key, f"has the key '{_shown(key.value)}' a second time (first in line {lines[key.value]});"
                    " keep one of them")  # fmt: skip
        lines[key.value] = key.start_mark.line + 1


def _check_typed(node: yaml.ScalarNode, loader: Any, name: str) -> None:
    if node.tag in (f"{_TAG}int", f"{_TAG}float") and (how := _other_base(node)):
        _refuse(name, node, f"has a number that YAML reads otherwise than people do ({how}); write the number out, or"
                " put it in quotes, if it is a text")  # fmt: skip
    if len(node.value) > _MAX_NUMBER_CHARACTERS:
        _refuse(name, node, f"has a number of {len(node.value):,} characters; put it in quotes, if it is a text")
    try:
        value = loader.construct_object(node)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
        _refuse(name, node, f"has a {node.tag.removeprefix(_TAG)} that is none; put it in quotes, if it is a text")
    if isinstance(value, float) and not math.isfinite(value):
        _refuse(name, node, "has a number that is not finite; give a number, or leave the key out")
    if isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        _refuse(name, node, "has a whole number of more than 64 bits; put it in quotes, if it is a text")


def _other_base(node: yaml.ScalarNode) -> str:
    """How YAML 1.1 reads a number that looks like another one; empty where it does not."""
    if ":" in node.value:
        return "1:30 is 90, in base 60"
    return "010 is 8, in base 8" if node.tag == f"{_TAG}int" and _OCTAL.fullmatch(node.value) else ""


def _refuse(name: str, node: yaml.Node, what: str) -> NoReturn:
    raise ConfigError(f"{name}: line {node.start_mark.line + 1} {what}")


def _tag(tag: str) -> str:
    return _shown(f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag)


def _shown(text: str) -> str:
    return escape(text if len(text) <= 60 else text[:60] + "…")


def _words(error: yaml.YAMLError) -> str:
    """What is wrong and where, without the lines of the file."""
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"
    where = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
    return _shown(" ".join(str(said).split())) + where
