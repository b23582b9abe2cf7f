"""H.264 written bit by bit: pictures that are huge once decoded and tiny as a file."""

from __future__ import annotations

import functools

START = b"\0\0\0\1"
# One macroblock in CAVLC: Intra 16x16 with DC prediction, chroma DC, no change of QP, no coefficients.
GREY_MACROBLOCK = "00100111"


def _codes(*values: int) -> str:
    """Exp-Golomb: as many zeros as the binary form of value + 1 has digits after its first."""
    return "".join("0" * ((value + 1).bit_length() - 1) + format(value + 1, "b") for value in values)


def _unit(header: int, bits: str) -> bytes:
    """A NAL unit in Annex B form, with the stop bit and the bytes that keep start codes out of it."""
    bits += "1"
    bits += "0" * (-len(bits) % 8)
    data = int("1" + bits, 2).to_bytes(len(bits) // 8 + 1, "big")[1:]
    escaped, zeros = bytearray(), 0
    for byte in data:
        if zeros == 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return START + bytes([header]) + bytes(escaped)


@functools.cache
def grey_pictures(width: int, height: int, *, num: int = 1) -> tuple[bytes, ...]:
    """One packet per picture: a key frame of a byte per macroblock, then frames that repeat it in a few bytes."""
    columns, rows = width // 16, height // 16
    sequence = format(66, "08b") + "0" * 8 + format(62, "08b")
    sequence += _codes(0, 0, 2, 1) + "0" + _codes(columns - 1, rows - 1) + "1100"
    settings = _codes(0, 0) + "00" + _codes(0, 0, 0) + "000" + _codes(0, 0, 0) + "100"
    key = _codes(0, 7, 0) + "0000" + _codes(0) + "00" + _codes(0, 1) + GREY_MACROBLOCK * (columns * rows)
    repeats = [
        _codes(0, 5, 0) + format(number % 16, "04b") + "000" + _codes(0, 1, columns * rows) for number in range(1, num)
    ]
    first = _unit(0x67, sequence) + _unit(0x68, settings) + _unit(0x65, key)
    return first, *(_unit(0x61, repeat) for repeat in repeats)
