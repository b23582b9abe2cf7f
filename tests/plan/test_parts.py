"""The order of the work, on a simulated clock: with parts and the largest first, workers end together."""

from __future__ import annotations

import heapq
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from framegate.pipelines.decode.part import clips_of_part, is_shared
from framegate.pipelines.decode.readers.reader import VideoHeader
from framegate.pipelines.plan.parts import MAX_PART_BYTES, MIN_PART_BYTES, order_work
from framegate.schemas.clip import Refusal, Video
from framegate.schemas.config import ClipsConfig
from framegate.schemas.tables import PARTS, PLANNED
from framegate.schemas.unit import PlannedVideo, to_table

BYTES_PER_SECOND = 250_000  # 2 Mbit/s: what a camera in 1080p writes
MINUTE, HOUR = 60.0, 3600.0


def plan(*seconds: float, bytes_per_second: float = BYTES_PER_SECOND) -> pa.Table:
    videos = [
        PlannedVideo(
            video=Video(uri=f"v{number:05d}.mp4", version="1", size_bytes=round(bytes_per_second * length)),
            question_hashes=("q",),
        )
        for number, length in enumerate(seconds)
    ]
    return to_table(videos, PLANNED)


def clip_seconds(work: pa.Table, seconds_of: dict[str, float], clips: ClipsConfig) -> list[float]:
    """What each row takes to decode, at one second of work a second of video, by the clips that it finds to be its."""
    costs = []
    for planned in PlannedVideo.from_table(work):
        length = seconds_of[planned.video.uri]
        header = VideoHeader(
            container="iso_bmff", codec="h264", display_height=1080, display_width=1920, duration_seconds=length
        )
        if is_shared(planned, header, clips, opening_bytes=1_000_000):
            mine = clips_of_part(planned, header, clips)
            costs.append(sum(min(clips.seconds, length - index * clips.seconds) for index in mine))
        else:
            costs.append(length if planned.part == 0 else 0.0)
    return costs


def end_of(costs: list[float], num_workers: int) -> float:
    """When the last worker ends: each takes the next row as soon as it is free."""
    free_at = [0.0] * num_workers
    for cost in costs:
        heapq.heappush(free_at, heapq.heappop(free_at) + cost)
    return max(free_at)


LONG_LAST = [MINUTE] * 100 + [10 * HOUR]
ARCHIVES = {
    "one film of 10 h and 100 short ones": LONG_LAST,
    "short ones of all lengths": [*np.random.default_rng(0).uniform(20, 180, 100).tolist(), 10 * HOUR],
    "the film alone": [10 * HOUR],
    "three films and a thousand short ones": [MINUTE] * 500 + [10 * HOUR, 3 * HOUR, 6 * HOUR] + [MINUTE] * 500,
}


@pytest.mark.parametrize("num_workers", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("name", ARCHIVES)
def test_workers_end_together_however_long_one_film_is(name: str, num_workers: int) -> None:
    seconds = ARCHIVES[name]
    videos = plan(*seconds)
    seconds_of = dict(zip(videos.column("video_uri").to_pylist(), seconds, strict=True))
    work = order_work(videos, num_workers=num_workers, is_shared=True)
    costs = clip_seconds(work, seconds_of, ClipsConfig())
    assert sum(costs) == pytest.approx(sum(seconds)), "a clip belongs to no part, or to two"
    assert end_of(costs, num_workers) <= 1.15 * sum(seconds) / num_workers
    whole = end_of(
        clip_seconds(order_work(videos, num_workers=1, is_shared=True), seconds_of, ClipsConfig()), num_workers
    )
    assert whole >= max(seconds), "without parts it ends as early: this shows nothing"


def test_whole_films_come_largest_first_and_small_ones_stay_where_they_are() -> None:
    videos = plan(10, HOUR, 20, 2 * HOUR, 15, 3 * HOUR, bytes_per_second=1_000_000)
    work = order_work(videos, num_workers=4, is_shared=False)
    assert work.schema.equals(PARTS, check_metadata=True)
    assert work.column("video_uri").to_pylist() == [f"v{number:05d}.mp4" for number in (5, 3, 1, 0, 2, 4)]
    assert work.column("num_parts").to_pylist() == [1] * 6
    seconds = [10, HOUR, 20, 2 * HOUR, 15, 3 * HOUR]
    in_order = [seconds[int(uri[1:6])] for uri in work.column("video_uri").to_pylist()]
    assert end_of(in_order, 2) < end_of(seconds, 2)


def test_nothing_is_cut_where_cutting_gains_nothing() -> None:
    middling = plan(*[HOUR] * 2000)  # 900 MB each, of 1.8 TB
    assert order_work(middling, num_workers=4, is_shared=True).column("num_parts").to_pylist() == [1] * 2000
    small = plan(*[MINUTE] * 3)
    assert order_work(small, num_workers=16, is_shared=True).column("num_parts").to_pylist() == [1] * 3
    one_worker = plan(10 * HOUR, MINUTE)
    assert order_work(one_worker, num_workers=1, is_shared=True).column("num_parts").to_pylist() == [1, 1]
    assert order_work(plan(), num_workers=4, is_shared=True).num_rows == 0


def test_parts_are_bounded_in_bytes_and_rows_are_those_of_the_plan() -> None:
    videos = plan(MINUTE, 10 * HOUR, 1000 * HOUR)
    work = order_work(videos, num_workers=8, is_shared=True)
    rows = list(PlannedVideo.from_table(work))
    for row in rows:
        part_bytes = row.video.size_bytes / row.num_parts
        assert part_bytes <= MAX_PART_BYTES
        assert row.num_parts == 1 or part_bytes > MIN_PART_BYTES / 2
    parts = Counter((row.video.uri, row.num_parts) for row in rows)
    assert all(count == num_parts for (_, num_parts), count in parts.items())
    assert {row.part for row in rows if row.video.uri == "v00002.mp4"} == set(range(parts.most_common(1)[0][1]))
    assert {row.video.uri for row in rows} == set(videos.column("video_uri").to_pylist())


def test_a_video_that_is_refused_has_no_parts_and_comes_last() -> None:
    refused = PlannedVideo(
        video=Video(
            uri="a.mp4", version="1", size_bytes=10**12, refusal=Refusal(reason="unsafe_member", message="A link.")
        ),
        question_hashes=("q",),
    )
    table = pa.concat_tables([to_table([refused], PLANNED), plan(10 * HOUR)])
    rows = list(PlannedVideo.from_table(order_work(table, num_workers=4, is_shared=True)))
    assert (rows[-1].video.uri, rows[-1].num_parts) == ("a.mp4", 1)
    assert len(rows) > 10
