"""Damaged AVI: lists and chunks of RIFF, the heads of streams, and both kinds of index."""

from __future__ import annotations

import random
import struct

from tests.decode.corpus_films import film
from tests.decode.structured import tree
from tests.decode.structured.numbers import false_number, write_word
from tests.decode.structured.tree import Node

PARENTS = (b"RIFF", b"LIST")
HEADS = (b"avih", b"strh", b"strf", b"indx", b"idx1", b"ix00", b"dmlh", b"vprp")


def films() -> list[bytes]:
    """What is damaged."""
    return [
        film("avi", "mpeg4"),
        film("avi", "mjpeg", pixel_format="yuvj420p", seconds=2.0),
        film("avi", sound_seconds=1.0),
    ]


def damaged(chance: random.Random) -> tuple[bytes, str]:
    """A film, and what was done to it. Half of the time all lists around the damage have true sizes again."""
    root = parse(chance.choice(films()))
    told = tree.apply(chance, root, DAMAGES)
    is_fixed = chance.random() < 0.5
    return b"".join(write(chunk, is_fixed=is_fixed) for chunk in root.children or ()), told


def parse(data: bytes) -> Node:
    """The chunks of a valid film."""
    return Node(name=b"", children=_chunks(data, 0, len(data)))


def _chunks(data: bytes, start: int, end: int) -> list[Node]:
    found: list[Node] = []
    while start + 8 <= end:
        name, size = struct.unpack_from("<4sI", data, start)
        chunk = Node(name=name, stored=size)
        if name in PARENTS:
            chunk.body, chunk.children = data[start + 8 : start + 12], _chunks(data, start + 12, start + 8 + size)
        else:
            chunk.body = data[start + 8 : start + 8 + size]
        found.append(chunk)
        start += 8 + size + size % 2
    return found


def write(chunk: Node, *, is_fixed: bool = True) -> bytes:
    """A chunk with all in it. Without `is_fixed` each size is the one of the valid film, but for false ones."""
    content = chunk.body + b"".join(write(child, is_fixed=is_fixed) for child in chunk.children or ())
    if not chunk.name:
        return content  # bytes as they are
    size = len(content) if is_fixed or not chunk.stored else chunk.stored
    size = size if chunk.false is None else chunk.false
    return struct.pack("<4sI", chunk.name, size) + content + b"\0" * (len(content) % 2)


def _wrap(name: bytes, content: bytes) -> bytes:
    before = b"movi" if name in PARENTS else b""
    return struct.pack("<4sI", name, len(before) + len(content)) + before + content


def _size(chance: random.Random, root: Node) -> str:
    parent, chunk = tree.pick(chance, root)
    near = chance.choice([chunk.num_bytes, parent.num_bytes, root.num_bytes])
    chunk.false = false_number(chance, 4, near=near)
    return f"{chunk.name!r} of {chunk.false} bytes"


def _words(chance: random.Random, root: Node) -> str:
    """False numbers in the heads and in the indexes: rates, counts, sides, places."""
    chunk = chance.choice(tree.named(root, *HEADS) or [tree.pick(chance, root)[1]])
    numbers = []
    for _ in range(chance.choice([1, 1, 3, 12])):
        at = 4 * chance.randrange(max(1, min(40, len(chunk.body) // 4)))
        chunk.body, number = write_word(chance, chunk.body, at, num_bytes=chance.choice([4, 4, 2, 8]), order="little")
        numbers.append(f"{number} at {at}")
    return f"{chunk.name!r} with {', '.join(numbers)}"


def _index(chance: random.Random, root: Node) -> str:
    """An old index to everywhere, of frames that are not there, or without end."""
    entries = [
        struct.pack("<4sIII", b"00dc", 0x10, false_number(chance, 4, near=4), false_number(chance, 4, near=500))
        for _ in range(chance.choice([1, 40, 5000]))
    ]
    for chunk in tree.named(root, b"idx1"):
        chunk.body = b"".join(entries)
    return f"{len(entries)} entries of idx1"


DAMAGES: tuple[tree.Damage, ...] = (
    _size,
    _size,
    _words,
    _words,
    _words,
    _index,
    tree.repeat,
    tree.remove,
    tree.reorder,
    tree.move,
    tree.rename((b"RIFF", b"LIST", b"JUNK", b"00dc", b"01wb", b"idx1", b"ix00", b"strh", b"strf")),
    tree.nest(write, _wrap, (b"LIST", b"RIFF", b"JUNK")),
    tree.shorten,
    tree.flip,
)
