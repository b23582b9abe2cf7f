"""Which videos travel together: by number and size alone, and the same where a plan is cut between two blocks."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from framegate.schemas.blocks import MAX_BLOCK_VIDEO_BYTES, sizes_bytes, together

LARGE = MAX_BLOCK_VIDEO_BYTES + 1


@pytest.mark.parametrize(
    ("sizes", "max_videos", "blocks"),
    [
        ([], 4, []),
        ([1], 4, [1]),
        ([1] * 9, 4, [4, 4, 1]),
        ([1] * 3, 1, [1, 1, 1]),
        ([LARGE, 1, 1, LARGE, LARGE, 1], 4, [1, 2, 1, 1, 1]),
        ([MAX_BLOCK_VIDEO_BYTES // 2] * 5, 4, [2, 2, 1]),
        ([0] * 5, 4, [4, 1]),
    ],
)
def test_blocks_are_bounded_in_videos_and_bytes(sizes: list[int], max_videos: int, blocks: list[int]) -> None:
    assert [len(block) for block in together(sizes, max_videos)] == blocks


def test_blocks_cover_all_in_order_and_a_plan_cut_between_two_gives_the_same() -> None:
    draw = random.Random(0)
    for _ in range(200):
        sizes = [draw.choice([0, 10, MAX_BLOCK_VIDEO_BYTES // 3, LARGE]) for _ in range(draw.randrange(1, 60))]
        blocks = list(together(sizes, 16))
        assert [place for block in blocks for place in block] == list(range(len(sizes)))
        cut = draw.choice(blocks).start
        rest = [range(block.start + cut, block.stop + cut) for block in together(sizes[cut:], 16)]
        assert [*together(sizes[:cut], 16), *rest] == blocks


def test_a_part_of_a_video_is_a_block_of_its_own_however_small_the_file() -> None:
    videos = pa.table({"video_size_bytes": [1, 9, 9, 2, 3], "num_parts": [1, 2, 2, 1, 1]})
    assert [len(block) for block in together(sizes_bytes(videos), 4)] == [1, 1, 1, 2]
    assert sizes_bytes(videos.drop_columns(["num_parts"])) == [1, 9, 9, 2, 3]
