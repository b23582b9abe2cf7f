"""Damaged Matroska and WebM: elements of EBML (RFC 8794) and what they mean (RFC 9559)."""

from __future__ import annotations

import random
import struct

from tests.decode.corpus_films import film
from tests.decode.structured import tree
from tests.decode.structured.numbers import false_number
from tests.decode.structured.tree import Node

EBML, SEGMENT, CLUSTER, BLOCK_GROUP = (bytes.fromhex(name) for name in ("1a45dfa3", "18538067", "1f43b675", "a0"))
CUE_POINT, SIMPLE_TAG, SEEK = b"\xbb", b"\x67\xc8", b"\x4d\xbb"
PARENTS = {
    EBML, SEGMENT, CLUSTER, BLOCK_GROUP, CUE_POINT, SIMPLE_TAG, SEEK,
    *(bytes.fromhex(name) for name in (
        "114d9b74", "1549a966", "1654ae6b", "ae", "e0", "e1", "1c53bb6b", "b7", "1254c367", "7373", "63c0", "55b0",
    )),
}  # fmt: skip
SIMPLE_BLOCK, BLOCK = b"\xa3", b"\xa1"
MAX_ID_LENGTH, MAX_SIZE_LENGTH = b"\x42\xf2", b"\x42\xf3"
TIMESTAMP_SCALE, DURATION, CLUSTER_TIME, DEFAULT_DURATION = b"\x2a\xd7\xb1", b"\x44\x89", b"\xe7", b"\x23\xe3\x83"
PLACES = (b"\xf1", b"\x53\xac", b"\xb3", b"\xf0", b"\xa7", b"\xab")  # of cues, of the seek head, of clusters
# Width and height, those shown, what is cut off, the unit; number, kind and delay of a track; how long a block lasts.
NUMBERS = (
    b"\xb0", b"\xba", b"\x54\xb0", b"\x54\xba", b"\x54\xaa", b"\x54\xbb", b"\x54\xcc", b"\x54\xdd", b"\x54\xb2",
    b"\xd7", b"\x83", b"\x56\xaa", b"\x56\xbb", b"\x9b", b"\xfb", b"\x55\xee", b"\x9a", b"\x53\xb8", b"\x53\x7f",
)  # fmt: skip
VOID, UNKNOWN_SIZE = b"\xec", (1 << 56) - 1


def films() -> list[bytes]:
    """What is damaged."""
    return [
        film("matroska", b_frames=2),
        film("matroska", muxer_options=(("live", "1"),)),
        film("matroska", sound_seconds=1.0, muxer_options=(("cluster_time_limit", "500"),)),
        film("webm", "libvpx-vp9"),
        film("webm", "libvpx", muxer_options=(("cues_to_front", "1"),)),
    ]


def damaged(chance: random.Random) -> tuple[bytes, str]:
    """A film, and what was done to it. Half of the time all elements around the damage have true sizes again."""
    root = parse(chance.choice(films()))
    told = tree.apply(chance, root, DAMAGES)
    is_fixed = chance.random() < 0.5
    return b"".join(write(element, is_fixed=is_fixed) for element in root.children or ()), told


def parse(data: bytes) -> Node:
    """The elements of a valid film."""
    return Node(name=b"", children=_elements(data, 0, len(data)))


def _elements(data: bytes, start: int, end: int) -> list[Node]:
    found: list[Node] = []
    while start < end:
        num_id_bytes, num_size_bytes = _width(data[start]), 0
        num_size_bytes = _width(data[start + num_id_bytes])
        inner = start + num_id_bytes + num_size_bytes
        name = data[start : start + num_id_bytes]
        size = int.from_bytes(data[start + num_id_bytes : inner], "big") & (1 << 7 * num_size_bytes) - 1
        is_unknown = size == (1 << 7 * num_size_bytes) - 1
        behind = end if is_unknown else inner + size
        if is_unknown and name == CLUSTER and (found_at := data.find(CLUSTER, inner, end)) > 0:
            behind = found_at
        element = Node(name=name, stored=UNKNOWN_SIZE if is_unknown else size, is_wide=num_size_bytes == 8)
        if name in PARENTS:
            element.children = _elements(data, inner, behind)
        else:
            element.body = data[inner:behind]
        found.append(element)
        start = behind
    return found


def _width(first: int) -> int:
    return 9 - first.bit_length()


def write(element: Node, *, is_fixed: bool = True) -> bytes:
    """An element with all in it. Without `is_fixed` each size is the one of the valid film, but for false ones."""
    content = element.body + b"".join(write(child, is_fixed=is_fixed) for child in element.children or ())
    if not element.name:
        return content  # bytes as they are
    size = len(content)
    if element.false is not None:
        size = element.false
    elif element.stored == UNKNOWN_SIZE or (not is_fixed and element.stored):
        size = element.stored
    return element.name + _size_bytes(size, is_wide=element.is_wide) + content


def _size_bytes(size: int, *, is_wide: bool) -> bytes:
    size %= 1 << 56
    num_bytes = 8 if is_wide else next(n for n in range(1, 9) if n == 8 or size < (1 << 7 * n) - 1)
    return (size | 1 << 7 * num_bytes).to_bytes(num_bytes, "big")


def _wrap(name: bytes, content: bytes) -> bytes:
    return name + _size_bytes(len(content), is_wide=False) + content


def _size(chance: random.Random, root: Node) -> str:
    parent, element = tree.pick(chance, root)
    near = chance.choice([element.num_bytes, parent.num_bytes, root.num_bytes])
    element.false = chance.choice([UNKNOWN_SIZE, false_number(chance, chance.choice([1, 4, 7]), near=near)])
    element.is_wide = chance.random() < 0.5 or element.false == UNKNOWN_SIZE
    return f"{element.name.hex()} of {element.false} bytes"


def _put(chance: random.Random, root: Node, parent: bytes, name: bytes, body: bytes) -> str:
    """`body` into the elements of this name; a new one in each `parent` where there is none."""
    found = tree.named(root, name)
    for element in found if chance.random() < 0.5 else found[:1]:
        element.body, element.children = body, None
    for element in [] if found else tree.named(root, parent):
        if element.children is not None:
            element.children.insert(0, Node(name=name, body=body))
    return f"{name.hex()} is {body.hex()}"


def _lengths_in_head(chance: random.Random, root: Node) -> str:
    """How long names and sizes may be, as the head of the file says."""
    body = bytes([chance.choice([0, 1, 4, 8, 9, 255])]) * chance.choice([1, 1, 8])
    return _put(chance, root, EBML, chance.choice([MAX_ID_LENGTH, MAX_SIZE_LENGTH]), body)


def _clock(chance: random.Random, root: Node) -> str:
    """How long a tick lasts: no time, or years."""
    body = false_number(chance, 8, near=1_000_000).to_bytes(8, "big")
    return _put(chance, root, b"\x15\x49\xa9\x66", TIMESTAMP_SCALE, body)


def _duration(chance: random.Random, root: Node) -> str:
    number = chance.choice([0.0, -1.0, 1e-300, 1e300, float("inf"), float("nan"), 1e9, -1e18, 1.0])
    return _put(chance, root, b"\x15\x49\xa9\x66", DURATION, struct.pack(">d", number))


def _frame_duration(chance: random.Random, root: Node) -> str:
    return _put(chance, root, b"\xae", DEFAULT_DURATION, false_number(chance, 8, near=10**8).to_bytes(8, "big"))


def _cluster_times(chance: random.Random, root: Node) -> str:
    """When clusters begin: at one time, before those before them, in 100 years."""
    numbers = []
    for element in tree.named(root, CLUSTER_TIME):
        if chance.random() < 0.5:
            numbers.append(false_number(chance, chance.choice([2, 4, 8]), near=1000))
            element.body = numbers[-1].to_bytes(8, "big")
    return f"clusters at {numbers[:4]}"


def _number(chance: random.Random, root: Node) -> str:
    """A false number in an element that holds one."""
    found = tree.named(root, *NUMBERS, *PLACES) or [tree.pick(chance, root)[1]]
    name = chance.choice(sorted({element.name for element in found}))
    for element in [element for element in found if element.name == name]:
        num_bytes = chance.choice([1, 2, 4, 8])
        near = int.from_bytes(element.body[:8], "big")
        element.body = false_number(chance, num_bytes, near=near).to_bytes(num_bytes, "big")
    return f"{name.hex()} false"


def _cues(chance: random.Random, root: Node) -> str:
    """Cues to everywhere."""
    told = []
    for element in tree.named(root, *PLACES):
        number = false_number(chance, 8, near=int.from_bytes(element.body[:8], "big"))
        element.body = number.to_bytes(8, "big")
        told.append(number)
    return f"cues and seeks to {told[:4]}"


def _lacing(chance: random.Random, root: Node) -> str:
    """Blocks that say how many frames they hold, and how long each is, and hold others."""
    told = []
    for block in tree.named(root, SIMPLE_BLOCK, BLOCK):
        if len(block.body) > 8 and chance.random() < 0.3:
            lacing = chance.choice([0x02, 0x04, 0x06])
            lies = bytes(chance.choice([0, 1, 0x40, 0x7F, 0x80, 0xFE, 0xFF]) for _ in range(chance.choice([1, 2, 9])))
            block.body = block.body[:3] + bytes([block.body[3] & 0xF9 | lacing]) + lies + block.body[4:]
            told.append(lies.hex())
    return f"lacing {told[:3]}"


def _block_heads(chance: random.Random, root: Node) -> str:
    """Blocks of another track, at another time of their cluster, or without a mark of key frames."""
    for block in tree.named(root, SIMPLE_BLOCK, BLOCK):
        if len(block.body) > 4 and chance.random() < 0.3:
            track = chance.choice([block.body[:1], block.body[:1], b"\x80", b"\x82", b"\xff"])
            ticks = struct.pack(">h", chance.choice([0, -1, 1, 32767, -32768, chance.randrange(-5000, 5000)]))
            flags = bytes([block.body[3] ^ chance.choice([0, 0x80, 0x08])])
            block.body = track + ticks + flags + block.body[4:]
    return "heads of blocks"


DAMAGES: tuple[tree.Damage, ...] = (
    _size,
    _size,
    _lengths_in_head,
    _clock,
    _duration,
    _frame_duration,
    _cluster_times,
    _number,
    _number,
    _cues,
    _lacing,
    _block_heads,
    tree.repeat,
    tree.remove,
    tree.reorder,
    tree.move,
    tree.rename((*sorted(PARENTS), SIMPLE_BLOCK, BLOCK, VOID)),
    tree.nest(write, _wrap, (SEGMENT, CLUSTER, SIMPLE_TAG, BLOCK_GROUP, EBML, SEEK)),
    tree.shorten,
    tree.flip,
)
