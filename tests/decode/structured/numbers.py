"""Numbers that mean something to who reads a container: none, few, the ends of a type, beyond the file."""

from __future__ import annotations

import random

MANY = (2, 16, 300)  # copies


def false_number(chance: random.Random, num_bytes: int, *, near: int = 0) -> int:
    """A whole number of `num_bytes` without a sign; now and then one beside `near`, the true one."""
    bits = 8 * num_bytes
    ends = [0, 1, 2, 7, 8, 15, 16, (1 << bits - 1) - 1, 1 << bits - 1, (1 << bits) - 2, (1 << bits) - 1]
    beside = [near - 1, near + 1, near // 2, 2 * near, near + 8, 1000 * near]
    number = chance.choice([*ends, *beside, chance.getrandbits(bits), chance.getrandbits(bits // 2)])
    return max(0, number) % (1 << bits)


def write_word(
    chance: random.Random, data: bytes, at: int, *, num_bytes: int = 4, order: str = "big"
) -> tuple[bytes, int]:
    """`data` with a false number at byte `at`, and the number; `data` as it is where it is too short."""
    if at + num_bytes > len(data):
        return data, -1
    assert order == "big" or order == "little"
    near = int.from_bytes(data[at : at + num_bytes], order)
    number = false_number(chance, num_bytes, near=near)
    return data[:at] + number.to_bytes(num_bytes, order) + data[at + num_bytes :], number


def flip_bits(chance: random.Random, data: bytes) -> bytes:
    """One to 16 bits of `data` turned."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 2, 16]) if data else 0):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)
