"""A container as a tree of named parts, and the damage that any such tree can take, whatever its bytes look like."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.decode.structured.numbers import MANY, flip_bits

MAX_BYTES = 4 << 20  # copies end there: files are to be strange, not large


@dataclass(eq=False, kw_only=True)
class Node:
    """A part of a file.

    body      its content, or what stands before `children`
    children  None: it is a leaf
    stored    the size that its head gave in the valid film
    false     the size that its head gives now, whatever it holds; None: `stored`, or the true one
    is_wide   its size is written in the longer of two ways
    """

    name: bytes
    body: bytes = b""
    children: list[Node] | None = None
    stored: int = 0
    false: int | None = None
    is_wide: bool = False

    @property
    def num_bytes(self) -> int:
        """About so many in the file."""
        return len(self.body) + 8 + sum(child.num_bytes for child in self.children or ())


Write = Callable[[Node], bytes]
Damage = Callable[[random.Random, Node], str]


def pairs(root: Node) -> Iterator[tuple[Node, Node]]:
    """Every part but the root, with the part that it lies in."""
    for child in root.children or ():
        yield root, child
        yield from pairs(child)


def named(root: Node, *names: bytes) -> list[Node]:
    """Every part with one of these names."""
    return [node for _, node in pairs(root) if node.name in names]


def pick(chance: random.Random, root: Node) -> tuple[Node, Node]:
    """A part and what it lies in. Kinds are drawn first: there are far more frames than headers."""
    found = [*pairs(root)]
    name = chance.choice(sorted({node.name for _, node in found}))
    return chance.choice([pair for pair in found if pair[1].name == name])


def repeat(chance: random.Random, root: Node) -> str:
    """A part several times, beside itself or at another place."""
    parent, node = pick(chance, root)
    num = chance.choice(MANY)
    num = max(1, min(num, MAX_BYTES // max(1, node.num_bytes)))
    goal = parent if chance.random() < 0.7 else _a_parent(chance, root)
    assert goal.children is not None
    at = chance.randrange(len(goal.children) + 1)
    goal.children[at:at] = [copy.deepcopy(node) for _ in range(num)]
    return f"{num} more {_shown(node)} in {_shown(goal)}"


def remove(chance: random.Random, root: Node) -> str:
    """A part less."""
    parent, node = pick(chance, root)
    assert parent.children is not None
    parent.children.remove(node)
    return f"no {_shown(node)} in {_shown(parent)}"


def reorder(chance: random.Random, root: Node) -> str:
    """The parts of a part in another order."""
    goal = _a_parent(chance, root)
    assert goal.children is not None
    chance.shuffle(goal.children)
    return f"{_shown(goal)} in another order"


def move(chance: random.Random, root: Node) -> str:
    """A part at a place that is not its own."""
    parent, node = pick(chance, root)
    goals = [
        other for other in _parents(root) if other is not node and all(inner is not other for _, inner in pairs(node))
    ]
    assert parent.children is not None
    parent.children.remove(node)
    goal = chance.choice(goals)
    assert goal.children is not None
    goal.children.insert(chance.randrange(len(goal.children) + 1), node)
    return f"{_shown(node)} moved into {_shown(goal)}"


def rename(names: Sequence[bytes]) -> Damage:
    """A part under the name of another kind."""

    def damage(chance: random.Random, root: Node) -> str:
        _, node = pick(chance, root)
        before = _shown(node)
        node.name = chance.choice(names)
        return f"{before} called {_shown(node)}"

    return damage


def nest(write: Write, wrap: Callable[[bytes, bytes], bytes], names: Sequence[bytes]) -> Damage:
    """A part inside of itself, or of others, up to 1,000 deep. `wrap(name, content)` gives a part as bytes."""

    def damage(chance: random.Random, root: Node) -> str:
        parent, node = pick(chance, root)
        name = chance.choice([node.name, *names])
        depth = chance.choice([2, 9, 40, 1000])
        content = write(node) if node.num_bytes < 1 << 16 else b""
        for _ in range(depth):
            content = wrap(name, content)
        assert parent.children is not None
        place = parent.children.index(node)
        raw = Node(name=b"", body=content)
        parent.children[place : place + chance.randrange(2)] = [raw]
        return f"{_shown(node)} {depth} deep in {name!r}"

    return damage


def shorten(chance: random.Random, root: Node) -> str:
    """A leaf with less in it, with nothing, or with zeros behind it."""
    _, node = _a_leaf(chance, root)
    if chance.random() < 0.7:
        node.body = node.body[: chance.choice([0, 1, 4, chance.randrange(len(node.body) + 1)])]
    else:
        node.body += bytes(chance.choice([1, 8, 5000]))
    return f"{_shown(node)} with {len(node.body)} bytes"


def flip(chance: random.Random, root: Node) -> str:
    """Bits of one leaf turned."""
    _, node = _a_leaf(chance, root)
    node.body = flip_bits(chance, node.body)
    return f"bits of {_shown(node)}"


def apply(chance: random.Random, root: Node, damages: Sequence[Damage]) -> str:
    """One to four damages, each at a part of its own; what was done."""
    told = []
    for _ in range(chance.choice([1, 1, 2, 3, 4])):
        if not root.children:
            break
        told.append(chance.choice(damages)(chance, root))
    return "; ".join(told)


def _a_leaf(chance: random.Random, root: Node) -> tuple[Node, Node]:
    while True:
        found = pick(chance, root)
        if found[1].children is None or chance.random() < 0.05:
            return found


def _parents(root: Node) -> list[Node]:
    return [root, *(node for _, node in pairs(root) if node.children is not None)]


def _a_parent(chance: random.Random, root: Node) -> Node:
    found = _parents(root)
    return chance.choice([node for node in found if node.name == chance.choice(found).name] or found)


def _shown(node: Node) -> str:
    if not node.name:
        return "the file"
    return node.name.decode() if node.name.isalnum() and node.name.isascii() else node.name.hex()
