"""Damaged MP4 and MOV: boxes (ISO/IEC 14496-12), sample tables, edit lists, fragments."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from tests.decode.corpus_films import FASTSTART, FRAGMENTED, film
from tests.decode.structured import tree
from tests.decode.structured.numbers import false_number, write_word
from tests.decode.structured.tree import Node

# Boxes that hold boxes, and how many bytes stand before these.
PARENTS = {
    **dict.fromkeys((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"udta", b"mvex", b"moof"), 0),
    **dict.fromkeys((b"traf", b"mfra"), 0),
    b"meta": 4,
    b"stsd": 8,
    b"dref": 8,
    b"avc1": 78,
    b"hvc1": 78,
    b"apcn": 78,
}
TABLES = (b"stts", b"ctts", b"stss", b"stsc", b"stsz", b"stco", b"elst", b"trun", b"tfra", b"stsd", b"dref", b"sidx")
CLOCKS = (b"mvhd", b"mdhd")
FRAGMENT_PARTS = (b"tfhd", b"tfdt", b"trun", b"trex", b"mfhd", b"sidx", b"tfra", b"mfro", b"mehd")
NAMES = (
    *PARENTS,
    *TABLES,
    *CLOCKS,
    *FRAGMENT_PARTS,
    b"mdat",
    b"free",
    b"uuid",
    b"co64",
    b"cslg",
    b"tkhd",
    b"hdlr",
    b"sgpd",
)


def films() -> list[bytes]:
    """What is damaged."""
    return [
        film(b_frames=2),
        film(muxer_options=FASTSTART, sound_seconds=1.0),
        film(muxer_options=FRAGMENTED, b_frames=2),
        film(muxer_options=(("movflags", "frag_keyframe+default_base_moof+dash+global_sidx"),)),
        film("mov", "prores_ks", seconds=1.0, pixel_format="yuv422p10le"),
        film("mov", rotation_degrees=90),
    ]


def damaged(chance: random.Random) -> tuple[bytes, str]:
    """A film, and what was done to it. Half of the time all boxes around the damage have true sizes again."""
    root = parse(chance.choice(films()))
    told = tree.apply(chance, root, DAMAGES)
    is_fixed = chance.random() < 0.5
    if is_fixed:
        _shift_fragments(root)
    return b"".join(write(box, is_fixed=is_fixed) for box in root.children or ()), told


def parse(data: bytes) -> Node:
    """The boxes of a valid film."""
    return Node(name=b"", children=_boxes(data, 0, len(data)))


def _boxes(data: bytes, start: int, end: int) -> list[Node]:
    found: list[Node] = []
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        head = 16 if size == 1 else 8
        behind = start + (struct.unpack_from(">Q", data, start + 8)[0] if size == 1 else size or end - start)
        box = Node(name=name, stored=behind - start, is_wide=size == 1)
        if name in PARENTS:
            inner = start + head + PARENTS[name]
            box.body, box.children = data[start + head : inner], _boxes(data, inner, behind)
        else:
            box.body = data[start + head : behind]
        found.append(box)
        start = behind
    return found


def write(box: Node, *, is_fixed: bool = True) -> bytes:
    """A box with all in it. Without `is_fixed` each size is the one that the valid film had, but for false ones."""
    content = box.body + b"".join(write(child, is_fixed=is_fixed) for child in box.children or ())
    if not box.name:
        return content  # bytes as they are
    size = len(content) + (16 if box.is_wide else 8)
    if box.false is not None:
        size = box.false
    elif not is_fixed and box.stored:
        size = box.stored
    if box.is_wide or size >= 1 << 32:
        return struct.pack(">I4sQ", 1, box.name, size % (1 << 64)) + content
    return struct.pack(">I4s", size, box.name) + content


def _wrap(name: bytes, content: bytes) -> bytes:
    before = bytes(PARENTS.get(name, 0))
    return struct.pack(">I4s", 8 + len(before) + len(content), name) + before + content


def _shift_fragments(root: Node) -> None:
    """The samples of a fragment lie as much further on as its head has grown."""
    for moof in tree.named(root, b"moof"):
        grown = len(write(moof)) - moof.stored
        for trun in tree.named(moof, b"trun") if grown else ():
            if len(trun.body) >= 12 and trun.body[3] & 1:
                place = int.from_bytes(trun.body[8:12], "big") + grown
                trun.body = trun.body[:8] + (place % (1 << 32)).to_bytes(4, "big") + trun.body[12:]


def _size(chance: random.Random, root: Node) -> str:
    parent, box = tree.pick(chance, root)
    box.is_wide = chance.random() < 0.3
    near = chance.choice([box.num_bytes, parent.num_bytes, root.num_bytes])
    box.false = false_number(chance, 8 if box.is_wide else 4, near=near)
    return f"{box.name!r} of {box.false} bytes"


def _words_of(*names: bytes, first: int = 4) -> Callable[[random.Random, Node], str]:
    """False numbers in boxes of these kinds, where their fields begin."""

    def damage(chance: random.Random, root: Node) -> str:
        boxes = tree.named(root, *names) or [tree.pick(chance, root)[1]]
        box = chance.choice(boxes)
        numbers = []
        for _ in range(chance.choice([1, 1, 3])):
            at = first + 4 * chance.randrange(max(1, min(24, (len(box.body) - first) // 4)))
            num_bytes = chance.choice([4, 4, 4, 2, 8])
            box.body, number = write_word(chance, box.body, at, num_bytes=num_bytes)
            numbers.append(f"{number} at {at}")
        return f"{box.name!r} with {', '.join(numbers)}"

    return damage


def _count(chance: random.Random, root: Node) -> str:
    box = chance.choice(tree.named(root, *TABLES) or [tree.pick(chance, root)[1]])
    at = 8 if box.name == b"stsz" else 16 if box.name == b"tfra" else 4
    box.body, number = write_word(chance, box.body, at)
    return f"{box.name!r} with {number} entries"


def _durations(chance: random.Random, root: Node) -> str:
    """Durations or composition offsets that are none, extreme or negative, for all frames at once or one after the
    other."""
    kind = chance.choice([b"stts", b"ctts"])
    entries = []
    for _ in range(chance.choice([1, 2, 40])):
        num = chance.choice([1, 1, 40, 1 << 31, 0xFFFFFFFF])
        entries.append(struct.pack(">II", num, false_number(chance, 4, near=100)))
    body = struct.pack(">BxxxI", chance.choice([0, 1]), len(entries)) + b"".join(entries)
    for box in tree.named(root, kind):
        box.body = body
    for table in [] if tree.named(root, kind) else tree.named(root, b"stbl"):
        assert table.children is not None
        table.children.append(Node(name=kind, body=body))
    return f"{kind!r} {body[:24].hex()}"


def _edits(chance: random.Random, root: Node) -> str:
    """An edit list of extreme times, of long or short numbers."""
    version = chance.choice([0, 1])
    num_bytes = 8 if version else 4
    entries = []
    for _ in range(chance.choice([1, 1, 2, 5, 3000])):
        seconds, media = (false_number(chance, num_bytes, near=4000) for _ in range(2))
        media = chance.choice([media, (1 << 8 * num_bytes) - 1, 0])
        rate = chance.choice([0x10000, 0x10000, 0, 0xFFFF0000, 0x7FFFFFFF])
        entries.append(seconds.to_bytes(num_bytes, "big") + media.to_bytes(num_bytes, "big") + rate.to_bytes(4, "big"))
    body = struct.pack(">BxxxI", version, len(entries)) + b"".join(entries)
    for track in tree.named(root, b"trak"):
        assert track.children is not None
        track.children[:] = [box for box in track.children if box.name != b"edts"]
        track.children.insert(1, Node(name=b"edts", children=[Node(name=b"elst", body=body)]))
    return f"{len(entries)} edits: {body[8:28].hex()}"


def _places(chance: random.Random, root: Node) -> str:
    """Chunks at false places, in a table of 4 or of 8 bytes each."""
    tables = tree.named(root, b"stco")
    if not tables:
        return _count(chance, root)
    table = chance.choice(tables)
    num = int.from_bytes(table.body[4:8], "big")
    places = [int.from_bytes(table.body[8 + 4 * n : 12 + 4 * n], "big") for n in range(min(num, 1000))]
    places = [false_number(chance, 8, near=place) if chance.random() < 0.3 else place for place in places]
    if chance.random() < 0.3:
        places.reverse()
    table.name = b"co64"
    table.body = struct.pack(f">II{len(places)}Q", 0, len(places), *places)
    return f"co64 {places[:4]}"


def _fragment_base(chance: random.Random, root: Node) -> str:
    """A `tfhd` that says where its samples begin, at a false place."""
    heads = tree.named(root, b"tfhd")
    if not heads:
        return _places(chance, root)
    head = chance.choice(heads)
    base = false_number(chance, 8, near=1000)
    flags = (int.from_bytes(head.body[:4], "big") | 1) & ~0x20000
    old = 8 if int.from_bytes(head.body[:4], "big") & 1 else 0
    head.body = flags.to_bytes(4, "big") + head.body[4:8] + base.to_bytes(8, "big") + head.body[8 + old :]
    return f"tfhd from byte {base}"


DAMAGES: tuple[tree.Damage, ...] = (
    _size,
    _size,
    _count,
    _durations,
    _edits,
    _places,
    _fragment_base,
    _words_of(*CLOCKS, first=12),
    _words_of(*TABLES),
    _words_of(*FRAGMENT_PARTS),
    _words_of(b"tkhd", b"avc1", b"apcn", b"pasp", b"colr", b"avcC", b"hdlr", first=0),
    tree.repeat,
    tree.remove,
    tree.reorder,
    tree.move,
    tree.rename(NAMES),
    tree.nest(write, _wrap, (b"moov", b"trak", b"udta", b"meta", b"moof", b"stsd")),
    tree.shorten,
    tree.flip,
)
