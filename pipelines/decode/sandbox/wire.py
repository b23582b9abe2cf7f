"""Messages between a sandbox and its decoder process: the lengths of a JSON object and of raw bytes, then both.

The process is not trusted: nothing that it sends is unpickled, and each field is checked where it is taken out.
"""

from __future__ import annotations

import json
import select
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

from framegate.pipelines.decode.readers.blocks import MAX_FETCH_BYTES

_LENGTHS = struct.Struct("<IQ")
MAX_MESSAGE_BYTES = 64 << 10
# The bytes of one fetch, or the moments of one read: 8 bytes each, so half a million of them.
MAX_PAYLOAD_BYTES = MAX_FETCH_BYTES
MAX_TEXT_CHARACTERS = 2000

Message = Mapping[str, Any]
Wait = Callable[[int], None]
"""Blocks until the socket is ready for the `select.POLLIN` or `select.POLLOUT` that it is told."""


class Malformed(ValueError):
    """The bytes that came are not a message, or one of its fields has a wrong type or range."""


def send(connection: socket.socket, message: Message, payload: bytes = b"", *, wait: Wait | None = None) -> None:
    """`wait` where the socket does not block. Raises OSError where the other end is gone."""
    data = json.dumps(message).encode()
    parts = [memoryview(_LENGTHS.pack(len(data), len(payload)) + data)]
    if payload:
        parts.append(memoryview(payload))
    while parts:
        try:
            # Two parts at once: the other end would otherwise wake up for the first and wait again for the second. The
            # process that decodes has one part to send, and may not call sendmsg, which can hand over descriptors.
            num_bytes = connection.sendmsg(parts) if len(parts) > 1 else connection.send(parts[0])
        except BlockingIOError:
            _wait(wait, select.POLLOUT)
            continue
        while parts and num_bytes >= len(parts[0]):
            num_bytes -= len(parts.pop(0))
        if parts:
            parts[0] = parts[0][num_bytes:]


def receive(
    connection: socket.socket, *, max_payload_bytes: int = 0, wait: Wait | None = None
) -> tuple[dict[str, Any], bytes]:
    """Raises EOFError where the other end is gone, also in the middle of a message, OSError, Malformed."""
    message_bytes, payload_bytes = _LENGTHS.unpack(_receive_bytes(connection, _LENGTHS.size, wait))
    if message_bytes > MAX_MESSAGE_BYTES or payload_bytes > max_payload_bytes:
        raise Malformed(f"a message announces {message_bytes} + {payload_bytes} bytes")
    data = _receive_bytes(connection, message_bytes, wait)
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed("a message is not JSON") from error
    if not isinstance(message, dict):
        raise Malformed("a message is no JSON object")
    return message, bytes(_receive_bytes(connection, payload_bytes, wait))


def take_text(message: Message, name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS:
        raise Malformed(f"{name} is no text of at most {MAX_TEXT_CHARACTERS} characters")
    return value


def take_whole(message: Message, name: str, *, at_least: int, at_most: int) -> int:
    value = message.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value <= at_most:
        raise Malformed(f"{name} is no whole number from {at_least} to {at_most}")
    return value


def take_number(message: Message, name: str, *, at_least: float, at_most: float) -> float:
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not at_least <= value <= at_most:
        raise Malformed(f"{name} is no number from {at_least} to {at_most}")
    return float(value)


def take_truth(message: Message, name: str) -> bool:
    value = message.get(name)
    if not isinstance(value, bool):
        raise Malformed(f"{name} is neither true nor false")
    return value


def _receive_bytes(connection: socket.socket, size: int, wait: Wait | None) -> bytearray:
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        try:
            num_bytes = connection.recv_into(rest)
        except BlockingIOError:
            _wait(wait, select.POLLIN)
            continue
        if num_bytes == 0:
            raise EOFError("the other end is gone")
        rest = rest[num_bytes:]
    return data


def _wait(wait: Wait | None, event: int) -> None:
    if wait is None:
        raise ValueError("a socket that does not block needs someone who waits")
    wait(event)
