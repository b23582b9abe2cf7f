"""The header of a safetensors file, checked against the file before anything of it is mapped.

Eight bytes say how long the header is; it is JSON and says of each tensor its dtype, its shape and where its bytes lie
behind it. They lie one behind the other, without gaps and overlaps, and end where the file ends.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from framegate.pipelines.reason.models.model_files import open_regular
from framegate.pipelines.reason.models.plain_json import MAX_WHOLE, parse_mapping

MAX_HEADER_BYTES: Final = 16 << 20  # that of a shard of 7B has some 100 KB
_MAX_NAME: Final = 512
_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


class Tensor(NamedTuple):
    """What a header says of one tensor."""

    dtype: str
    shape: tuple[int, ...]


def read_tensors(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file by name. Raises ValueError, half a sentence that says what is wrong; OSError."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise ValueError(f"is no safetensors file: it has {size} bytes")
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, MAX_HEADER_BYTES):
            raise ValueError(
                f"is no safetensors file, or cut short: its header claims {length:,} bytes, the file has {size:,} and"
                f" {MAX_HEADER_BYTES:,} are allowed"
            )
        header = parse_mapping(file.read(length))
    return _check(header, size - 8 - length)


def _check(header: Mapping[str, Any], data_bytes: int) -> Mapping[str, Tensor]:
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("has metadata in its header that are no words")
    tensors = {name: value for name, value in header.items() if name != "__metadata__"}
    places = {name: _read_place(name, value) for name, value in tensors.items()}
    end = 0
    for name, (begin, stop) in sorted(places.items(), key=lambda item: item[1]):
        if begin != end:
            raise ValueError(f"has {'a gap before' if begin > end else 'other bytes also for'} its tensor {name!r}")
        end = stop
    if end != data_bytes:
        raise ValueError(f"has {data_bytes:,} bytes of tensors where its header says {end:,}")
    return {name: Tensor(value["dtype"], tuple(value["shape"])) for name, value in tensors.items()}


def _read_place(name: str, value: Any) -> tuple[int, int]:
    if len(name) > _MAX_NAME or not name.isprintable():
        raise ValueError(f"has a tensor with the name {name[:64]!r}")
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"says of its tensor {name!r} something else than dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise ValueError(f"has a tensor {name!r} of the unknown dtype {str(dtype)[:32]!r}")
    if not _are_sizes(shape) or len(shape) > 8 or not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"says of its tensor {name!r} a shape or offsets that are none")
    num_bytes, begin, stop = math.prod(shape) * _BITS[dtype] // 8, *offsets
    if math.prod(shape) > MAX_WHOLE or stop - begin != num_bytes:
        raise ValueError(f"gives its tensor {name!r} {stop - begin:,} bytes where dtype and shape need {num_bytes:,}")
    return begin, stop


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and size >= 0 for size in value)
