"""Damaged Ogg: pages (RFC 3533) with false lengths, places, numbers and streams."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.decode.corpus_films import film
from tests.decode.structured.numbers import MANY, false_number, flip_bits


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page: where its film has come to, whose it is, the lengths of its segments, and its content."""

    flags: int
    position: int
    stream: int
    number: int
    lengths: bytes
    content: bytes
    version: int = 0


Pages = list[Page]


def films() -> list[bytes]:
    """What is damaged."""
    return [film("ogg", "libvpx"), film("ogg", "libvpx", fps=25, seconds=2.0)]


def damaged(chance: random.Random) -> tuple[bytes, str]:
    """A film, and what was done to it. Half of the time the checksums hold again."""
    pages = parse(chance.choice(films()))
    told = [chance.choice(DAMAGES)(chance, pages) for _ in range(chance.choice([1, 1, 2, 3, 4])) if pages]
    is_valid = chance.random() < 0.7
    return b"".join(write(page, is_valid=is_valid) for page in pages), "; ".join(told)


def parse(data: bytes) -> Pages:
    """The pages of a valid film."""
    pages, start = [], 0
    while start < len(data):
        _, version, flags, position, stream, number, _, num = struct.unpack_from("<4sBBQIIIB", data, start)
        lengths = data[start + 27 : start + 27 + num]
        content = data[start + 27 + num : start + 27 + num + sum(lengths)]
        pages.append(
            Page(
                flags=flags, position=position, stream=stream, number=number, lengths=lengths, content=content,
                version=version,
            )
        )  # fmt: skip
        start += 27 + num + sum(lengths)
    return pages


def write(page: Page, *, is_valid: bool) -> bytes:
    """A page with a checksum that holds, or with none."""
    head = struct.pack("<4sBBQII", b"OggS", page.version, page.flags, page.position, page.stream, page.number)
    behind = bytes([len(page.lengths)]) + page.lengths + page.content
    return head + (_crc(head + bytes(4) + behind) if is_valid else 0).to_bytes(4, "little") + behind


def _table() -> list[int]:
    table = []
    for byte in range(256):
        register = byte << 24
        for _ in range(8):
            register = (register << 1 ^ 0x04C11DB7 if register & 0x80000000 else register << 1) & 0xFFFFFFFF
        table.append(register)
    return table


_CRC = _table()


def _crc(data: bytes) -> int:
    register = 0
    for byte in data:
        register = (register << 8 ^ _CRC[register >> 24 ^ byte]) & 0xFFFFFFFF
    return register


def _fields(chance: random.Random, pages: Pages) -> str:
    """False positions, numbers, streams or flags of some pages."""
    field = chance.choice(["position", "position", "number", "stream", "flags", "version"])
    num_bytes = {"position": 8, "flags": 1, "version": 1}.get(field, 4)
    for number in _some(chance, pages):
        near = getattr(pages[number], field)
        pages[number] = replace(pages[number], **{field: false_number(chance, num_bytes, near=near)})
    return f"{field} of pages"


def _lengths(chance: random.Random, pages: Pages) -> str:
    """Segments that are none, all of 255 bytes, more than there are, or others."""
    for number in _some(chance, pages):
        lengths = chance.choice(
            [b"", b"\xff" * 255, bytes(255), flip_bits(chance, pages[number].lengths), pages[number].lengths * 2]
        )
        pages[number] = replace(pages[number], lengths=lengths[:255])
    return "lengths of segments"


def _order(chance: random.Random, pages: Pages) -> str:
    """Pages lost, repeated, mixed, or with the first ones again in between."""
    way = chance.choice(["lost", "repeated", "mixed", "begun again"])
    at = chance.randrange(len(pages))
    if way == "lost":
        del pages[at]
    elif way == "repeated":
        pages[at:at] = [pages[at]] * chance.choice(MANY)
    elif way == "mixed":
        chance.shuffle(pages)
    else:
        stream = chance.choice([pages[0].stream, chance.getrandbits(32)])
        pages[at:at] = [replace(page, stream=stream) for page in pages[:4]]
    return f"pages {way}"


def _content(chance: random.Random, pages: Pages) -> str:
    """Bits of headers or of frames turned, or content that is cut."""
    for number in _some(chance, pages):
        content = pages[number].content
        cut = content[: chance.randrange(len(content) + 1)]
        pages[number] = replace(pages[number], content=chance.choice([flip_bits(chance, content), cut]))
    return "content of pages"


def _head_words(chance: random.Random, pages: Pages) -> str:
    """False sides, rates and versions in the first header of VP8."""
    content = bytearray(pages[0].content)
    for _ in range(chance.choice([1, 3])):
        if len(content) < 26:
            break
        num_bytes, at = chance.choice([(2, 8), (2, 10), (3, 12), (3, 15), (4, 18), (4, 22), (1, 5), (1, 6)])
        content[at : at + num_bytes] = false_number(chance, num_bytes).to_bytes(num_bytes, "big")
    pages[0] = replace(pages[0], content=bytes(content))
    return f"head {bytes(content[:26]).hex()}"


def _some(chance: random.Random, pages: Pages) -> list[int]:
    num = chance.choice([1, 1, 3, len(pages)])
    if chance.random() < 0.3:
        return [0]
    return chance.sample(range(len(pages)), min(len(pages), num))


DAMAGES: tuple[Callable[[random.Random, Pages], str], ...] = (
    _fields,
    _fields,
    _lengths,
    _order,
    _content,
    _head_words,
)
