"""Thrift's compact protocol, as far as Parquet's footers and indexes need it: bytes to values and back, losing nothing.

A struct is a dict from field number to (type, value), so that fields of a newer version of the format go through as
they came. What was decoded and is encoded again gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

TRUE, FALSE, I8, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_INTEGERS: Final = (I16, I32, I64)
_LONG: Final = 15  # in place of a list's length, which follows

Struct = dict[int, tuple[int, Any]]


@dataclass(slots=True)
class ThriftList:
    """A list, or a set: the type of its elements, and them."""

    kind: int
    items: list[Any]


@dataclass(slots=True)
class ThriftMap:
    """A map: the types of keys and values, and the pairs in order."""

    key_kind: int
    value_kind: int
    items: list[tuple[Any, Any]]


def decode_struct(data: bytes, start: int = 0) -> Struct:
    """The struct that begins at `start`. Raises ValueError where there is none."""
    try:
        return _Decoder(data, start).struct()
    except IndexError as error:
        raise ValueError(f"a thrift struct breaks off after {len(data)} bytes") from error


def encode_struct(struct: Struct) -> bytes:
    out = bytearray()
    _write_struct(out, struct)
    return bytes(out)


class _Decoder:
    def __init__(self, data: bytes, start: int) -> None:
        self._data = data
        self._at = start

    def struct(self) -> Struct:
        fields: Struct = {}
        number = 0
        while header := self._byte():
            kind, delta = header & 15, header >> 4
            number = number + delta if delta else self._zigzag()
            fields[number] = kind, (kind == TRUE if kind in (TRUE, FALSE) else self._value(kind))
        return fields

    def _value(self, kind: int) -> Any:
        if kind in _INTEGERS:
            return self._zigzag()
        if kind == BINARY:
            return self._take(self._varint())
        if kind == STRUCT:
            return self.struct()
        if kind in (LIST, SET):
            header = self._byte()
            num_items = header >> 4
            if num_items == _LONG:
                num_items = self._varint()
            inner = header & 15
            return ThriftList(inner, [self._value(inner) for _ in range(num_items)])
        if kind == MAP:
            return self._map()
        if kind in (TRUE, FALSE, I8):  # a boolean inside of a list is a byte
            return self._byte()
        if kind == DOUBLE:
            return self._take(8)
        raise ValueError(f"there is no thrift type {kind}")

    def _map(self) -> ThriftMap:
        num_items = self._varint()
        if num_items == 0:
            return ThriftMap(0, 0, [])
        kinds = self._byte()
        key, value = kinds >> 4, kinds & 15
        return ThriftMap(key, value, [(self._value(key), self._value(value)) for _ in range(num_items)])

    def _byte(self) -> int:
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _take(self, num_bytes: int) -> bytes:
        taken = self._data[self._at : self._at + num_bytes]
        if len(taken) < num_bytes:
            raise IndexError
        self._at += num_bytes
        return bytes(taken)

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def _write_struct(out: bytearray, struct: Struct) -> None:
    last = 0
    for number, (kind, value) in sorted(struct.items()):
        kind = (TRUE if value else FALSE) if kind in (TRUE, FALSE) else kind
        delta = number - last
        if 0 < delta <= 15:
            out.append(delta << 4 | kind)
        else:
            out.append(kind)
            _write_zigzag(out, number)
        last = number
        if kind not in (TRUE, FALSE):
            _write_value(out, kind, value)
    out.append(0)


def _write_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in _INTEGERS:
        _write_zigzag(out, value)
    elif kind == BINARY:
        _write_varint(out, len(value))
        out += value
    elif kind == STRUCT:
        _write_struct(out, value)
    elif kind in (LIST, SET):
        num_items = len(value.items)
        out.append(min(num_items, _LONG) << 4 | value.kind)
        if num_items >= _LONG:
            _write_varint(out, num_items)
        for item in value.items:
            _write_value(out, value.kind, item)
    elif kind == MAP:
        _write_varint(out, len(value.items))
        if value.items:
            out.append(value.key_kind << 4 | value.value_kind)
        for key, inner in value.items:
            _write_value(out, value.key_kind, key)
            _write_value(out, value.value_kind, inner)
    elif kind in (TRUE, FALSE, I8):
        out.append(value)
    elif kind == DOUBLE:
        out += value
    else:
        raise ValueError(f"there is no thrift type {kind}")


def _write_varint(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def _write_zigzag(out: bytearray, value: int) -> None:
    _write_varint(out, value << 1 if value >= 0 else (-value << 1) - 1)
