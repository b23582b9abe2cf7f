"""Damaged MPEG transport streams: packets, sections and PES heads (ISO/IEC 13818-1)."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

from tests.decode.corpus_films import film
from tests.decode.structured.numbers import false_number, flip_bits

PACKET_BYTES = 188
PAT_PID = 0
MANY_PROGRAMS = 8000
Packets = list[bytes]
Damage = Callable[[random.Random, Packets], str]


def films() -> list[bytes]:
    """What is damaged."""
    return [
        film("mpegts", b_frames=2),
        film("mpegts", sound_seconds=1.0),
        film("mpegts", "mpeg2video", fps=25, seconds=2.0),
    ]


def damaged(chance: random.Random) -> tuple[bytes, str]:
    """A film, and what was done to it."""
    data = chance.choice(films())
    packets = [data[at : at + PACKET_BYTES] for at in range(0, len(data), PACKET_BYTES)]
    told = [chance.choice(DAMAGES)(chance, packets) for _ in range(chance.choice([1, 1, 2, 3, 4])) if packets]
    return b"".join(packets), "; ".join(told)


def pid(packet: bytes) -> int:
    """Whose packet it is."""
    return int.from_bytes(packet[1:3], "big") & 0x1FFF


def begins(packet: bytes) -> bool:
    """Whether a section or a PES packet begins in it."""
    return len(packet) > 4 and bool(packet[1] & 0x40)


def content_at(packet: bytes) -> int:
    """Where the content of a packet begins, behind its adaptation field."""
    if len(packet) < 5:  # the rest of a file whose packets were shifted
        return len(packet)
    return min(len(packet), 5 + packet[4] if packet[3] & 0x20 else 4)


def crc(section: bytes) -> bytes:
    """CRC-32 of MPEG-2, as it stands behind a section."""
    register = 0xFFFFFFFF
    for byte in section:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ 0x04C11DB7 if register & 0x80000000 else register << 1) & 0xFFFFFFFF
    return register.to_bytes(4, "big")


def section(table: int, number: int, content: bytes, *, length: int | None = None, is_valid: bool = True) -> bytes:
    """A section of a table; `length` is what it says of itself, the true one without."""
    true = 5 + len(content) + 4
    head = struct.pack(">BHHBBB", table, 0xB000 | (true if length is None else length) & 0xFFF, number, 0xC1, 0, 0)
    return head + content + (crc(head + content) if is_valid else b"\0\0\0\0")


def packets_of(pid: int, section: bytes) -> Packets:
    """A section in as many packets as it takes."""
    content = b"\0" + section
    pieces = [content[at : at + 184] for at in range(0, len(content), 184)]
    return [
        struct.pack(">BHB", 0x47, (0x4000 if number == 0 else 0) | pid, 0x10 | number % 16) + piece.ljust(184, b"\xff")
        for number, piece in enumerate(pieces)
    ]


def _map_pid(packets: Packets) -> int:
    """Of the table that lists the streams, as FFmpeg writes it."""
    for packet in packets:
        if pid(packet) == PAT_PID and begins(packet):
            return int.from_bytes(packet[15:17], "big") & 0x1FFF
    return 0x1000


def _replace_table(chance: random.Random, packets: Packets, of: int, new: Packets) -> None:
    """All tables of one PID, or the first one, are `new`."""
    kept = [number for number, packet in enumerate(packets) if pid(packet) == of]
    for number in reversed(kept if chance.random() < 0.5 else kept[:1]):
        packets[number : number + 1] = new


def _programs(chance: random.Random, packets: Packets) -> str:
    """A list of programs: thousands, all with one table, with tables where the list itself is, or streams are."""
    num = chance.choice([0, 1, 2, 200, MANY_PROGRAMS])
    tables = chance.choice([[PAT_PID], [_map_pid(packets)], [0x100], range(0x20, 0x1FFF), [0x1FFF]])
    all_programs = [struct.pack(">HH", n + 1, 0xE000 | tables[n % len(tables)]) for n in range(num)]
    new: Packets = []
    for first in range(0, max(1, num), 250):
        new += packets_of(PAT_PID, section(0, 1, b"".join(all_programs[first : first + 250])))
    kept = [number for number, packet in enumerate(packets) if pid(packet) == PAT_PID]
    for number in kept[:1]:
        packets[number : number + 1] = new
    for packet in [packets[number] for number in kept[1:] if number < len(packets)] if chance.random() < 0.5 else []:
        if packet in packets:
            packets.remove(packet)
    return f"{num} programs"


def _streams(chance: random.Random, packets: Packets) -> str:
    """A list of streams: of a kind that they are not, at PIDs of tables, many at one PID, with long descriptors."""
    num = chance.choice([0, 1, 2, 100])
    pids = chance.choice([[0x100], [_map_pid(packets)], [PAT_PID], range(0x100, 0x1FFF), [0x1FFF]])
    content = struct.pack(">HH", 0xE000 | chance.choice([0x100, PAT_PID, 0x1FFF]), 0xF000)
    for number in range(num):
        kind = chance.choice([0x1B, 0x1B, 0x02, 0x24, 0x0F, 0x06, 0x86, 0xFF, 0x00])
        descriptor = bytes([chance.choice([0x0A, 0x05, 0x7F, 0x1D]), chance.choice([0, 4, 255])]) + b"eng\0"
        told = chance.choice([len(descriptor), 0, 0xFFF])
        content += struct.pack(">BHH", kind, 0xE000 | pids[number % len(pids)], 0xF000 | told) + descriptor
    new = packets_of(_map_pid(packets), section(2, 1, content[:1000]))
    _replace_table(chance, packets, _map_pid(packets), new)
    return f"{num} streams"


def _lengths(chance: random.Random, packets: Packets) -> str:
    """A table that says that it is longer or shorter, with a checksum that holds or none."""
    of = chance.choice([PAT_PID, _map_pid(packets), 0x11])
    for number, packet in enumerate(packets):
        if pid(packet) == of and begins(packet) and chance.random() < 0.7:
            length = false_number(chance, 2, near=int.from_bytes(packet[6:8], "big") & 0xFFF) & 0xFFF
            end = min(len(packet), 8 + max(0, length - 4))
            changed = packet[:6] + struct.pack(">H", 0xB000 | length) + packet[8:]
            if chance.random() < 0.5 and end + 4 <= len(packet):
                changed = changed[:end] + crc(changed[5:end]) + changed[end + 4 :]
            packets[number] = changed
    return f"lengths of tables at {of}"


def _adaptation(chance: random.Random, packets: Packets) -> str:
    """Adaptation fields that are longer than their packets, or with flags for what is not there."""
    for number in _some(chance, packets):
        packet = packets[number]
        length, flags = chance.choice([0, 1, 7, 182, 183, 184, 255]), chance.choice([0, 0x10, 0x80, 0xFF])
        control = chance.choice([0x00, 0x20, 0x30])
        packets[number] = packet[:3] + bytes([packet[3] & 0xCF | control, length, flags]) + packet[6:]
    return "adaptation fields"


def _clock(chance: random.Random, packets: Packets) -> str:
    """Clock references that jump, run backwards, or are the largest."""
    for number, packet in enumerate(packets):
        if len(packet) > 12 and packet[3] & 0x20 and packet[4] >= 7 and packet[5] & 0x10 and chance.random() < 0.5:
            base = false_number(chance, 4, near=90_000)
            packets[number] = packet[:6] + base.to_bytes(4, "big") + packet[10:]
    return "clock references"


def _continuity(chance: random.Random, packets: Packets) -> str:
    for number in _some(chance, packets):
        packet = packets[number]
        packets[number] = packet[:3] + bytes([packet[3] & 0xF0 | chance.randrange(16)]) + packet[4:]
    return "continuity"


def _head_bytes(chance: random.Random, packets: Packets) -> str:
    """No sync byte, another PID, marks of errors or of scrambling."""
    for number in _some(chance, packets):
        packet = packets[number]
        changed = bytearray(packet)
        changed[chance.randrange(4)] = chance.choice([0, 0x47, 0xFF, chance.randrange(256)])
        packets[number] = bytes(changed)
    return "heads of packets"


def _pes(chance: random.Random, packets: Packets) -> str:
    """PES heads: lengths, the kind of stream, flags, and how long the head is."""
    for number, packet in enumerate(packets):
        at = content_at(packet)
        if begins(packet) and packet[at : at + 3] == b"\0\0\1" and chance.random() < 0.4:
            changed = bytearray(packet)
            place, value = chance.choice(
                [
                    (4, false_number(chance, 2, near=200).to_bytes(2, "big")),
                    (3, bytes([chance.choice([0xBC, 0xBE, 0xBD, 0xE0, 0xFD, 0x00, 0xC0])])),
                    (6, bytes([chance.randrange(256)])),
                    (7, bytes([chance.choice([0, 0x40, 0x80, 0xC0, 0xFF, 0x01])])),
                    (8, bytes([chance.choice([0, 1, 4, 5, 10, 200, 255])])),
                ]
            )
            changed[at + place : at + place + len(value)] = value
            packets[number] = bytes(changed[:PACKET_BYTES])
    return "heads of PES"


def _times(chance: random.Random, packets: Packets) -> str:
    """Times of frames: all the same, wrapping round at 2^33, backwards, or without an order."""
    way = chance.choice(["same", "wrap", "back", "any", "far"])
    shown = 0
    for number, packet in enumerate(packets):
        at = content_at(packet)
        if not begins(packet) or packet[at : at + 3] != b"\0\0\1" or at + 19 > len(packet) or not packet[at + 7] & 0x80:
            continue
        shown += 1
        step = 9000 * shown
        ticks = {
            "same": 90_000,
            "wrap": (1 << 33) - 90_000 + step,
            "back": 10**6 - step,
            "any": chance.getrandbits(33),
            "far": step * 100_000,
        }[way] % (1 << 33)
        stamp = _stamp(packet[at + 9] >> 4, ticks)
        changed = packet[: at + 9] + stamp + packet[at + 14 :]
        if packet[at + 7] & 0x40:
            changed = changed[: at + 14] + _stamp(1, ticks) + changed[at + 19 :]
        packets[number] = changed
    return f"times: {way}"


def _stamp(mark: int, ticks: int) -> bytes:
    high, middle, low = ticks >> 30 & 7, ticks >> 15 & 0x7FFF, ticks & 0x7FFF
    return struct.pack(">BHH", mark << 4 | high << 1 | 1, middle << 1 | 1, low << 1 | 1)


def _order(chance: random.Random, packets: Packets) -> str:
    """Packets lost, repeated, or in another order."""
    start = chance.randrange(len(packets))
    num = chance.choice([1, 2, 20, 200])
    piece = packets[start : start + num]
    way = chance.choice(["lost", "repeated", "mixed", "again at the end"])
    if way == "mixed":
        chance.shuffle(piece)
    packets[start : start + num] = {"lost": [], "repeated": piece * 3, "mixed": piece}.get(way, piece)
    if way == "again at the end":
        packets += piece
    return f"{num} packets {way}"


def _foreign(chance: random.Random, packets: Packets) -> str:
    """Bytes between packets, so that those behind them begin elsewhere; or a few at the end of each, as disks have."""
    if chance.random() < 0.3:
        num = chance.choice([4, 16, 1])
        packets[:] = [packet + bytes(num) for packet in packets]
        return f"{num} bytes behind each packet"
    for _ in range(chance.choice([1, 5])):
        packets.insert(chance.randrange(len(packets) + 1), chance.randbytes(chance.choice([1, 47, 187, 4000])))
    packets[:] = [b"".join(packets)[at : at + PACKET_BYTES] for at in range(0, len(b"".join(packets)), PACKET_BYTES)]
    return "foreign bytes"


def _flip(chance: random.Random, packets: Packets) -> str:
    for number in _some(chance, packets):
        packets[number] = flip_bits(chance, packets[number])
    return "bits of packets"


def _some(chance: random.Random, packets: Sequence[bytes]) -> list[int]:
    """One packet, some, or a tenth of all, those of tables among them more often than is their share."""
    usable = [number for number, packet in enumerate(packets) if len(packet) >= 8]
    tables = [number for number in usable if pid(packets[number]) != 0x100]
    chosen = chance.choice([usable, tables or usable])
    return chance.sample(chosen, min(len(chosen), chance.choice([1, 3, 1 + len(chosen) // 10])))


DAMAGES: tuple[Damage, ...] = (
    _programs,
    _streams,
    _lengths,
    _adaptation,
    _clock,
    _continuity,
    _head_bytes,
    _pes,
    _pes,
    _times,
    _times,
    _order,
    _order,
    _foreign,
    _flip,
)
