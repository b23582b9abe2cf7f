"""Wear: counted from the first answer, in seconds and in memory that is the process's own."""

from __future__ import annotations

import mmap

import pytest

from framegate.pipelines.reason.wear import MIB, Wear, private_bytes
from framegate.schemas.config import EngineConfig
from tests.own_process import in_own_process


def test_a_process_is_worn_by_age_or_by_growth_from_its_first_answer_on() -> None:
    seconds, num_bytes = 1000.0, 5000 * MIB
    wear = Wear(
        EngineConfig(max_lifetime="1m", max_growth_mib=100), clock=lambda: seconds, read_bytes=lambda: num_bytes
    )
    assert wear.look() is None
    seconds, num_bytes = 1060.0, 5100 * MIB
    assert wear.look() is None
    seconds = 1060.5
    assert wear.look() == "it is 60 s old, and engine.max_lifetime is 60 s"
    seconds, num_bytes = 1001.0, 5101 * MIB
    assert wear.look() == "it has grown by 101 MiB, and engine.max_growth_mib is 100"


@pytest.mark.parametrize("is_private", [True, False])
def test_memory_that_is_shared_does_not_count(is_private: bool) -> None:
    assert (in_own_process(grown_by_a_block, is_private) > 48 * MIB) == is_private


def grown_by_a_block(is_private: bool) -> int:
    before = private_bytes()
    if is_private:
        block = bytearray(b"x") * (64 * MIB)
    else:
        block = mmap.mmap(-1, 64 * MIB)  # shared, as Ray's store is
        block.write(b"x" * (64 * MIB))
    grown = private_bytes() - before
    assert len(block) == 64 * MIB
    return grown
