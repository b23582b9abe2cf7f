"""The plan as decode tasks: all videos once, in whole blocks, and few ones still spread over all workers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pytest

from framegate.pipelines.driver import blocks as blocks_module
from framegate.pipelines.driver.block_stats import MAX_KEPT, forget_block_stats, forget_of
from framegate.pipelines.driver.blocks import make_tasks, max_together, pack, unpack
from framegate.pipelines.driver.cluster import Shares
from framegate.schemas.blocks import MAX_BLOCK_VIDEOS, together


@pytest.mark.parametrize(
    ("num_videos", "num_workers", "expected"),
    [(0, 2, 1), (3, 2, 1), (16, 2, 2), (64, 1, 16), (1_000_000, 8, MAX_BLOCK_VIDEOS), (100, 1000, 1)],
)
def test_few_videos_are_spread_over_all_workers(num_videos: int, num_workers: int, expected: int) -> None:
    assert max_together(num_videos, num_workers) == expected


def test_tasks_hold_all_videos_in_whole_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "MAX_TASKS", 7)
    sizes = [n * 100_000 % 9_000_000 for n in range(500)]
    videos = pa.table({"video_size_bytes": sizes, "n": range(500)})
    tasks = make_tasks(videos, 16)
    assert len(tasks) <= 7
    assert pa.concat_tables(tasks).equals(videos)
    alike = [len(b) for task in tasks for b in together(task.column("video_size_bytes").to_pylist(), 16)]
    assert alike == [len(block) for block in together(sizes, 16)]
    assert make_tasks(videos.slice(0, 0), 16) == []


def test_a_table_travels_as_one_row_and_comes_back_without_a_copy() -> None:
    frames = pa.array([b"x" * 1000, b"y", b""], pa.large_binary())
    failures = pa.array([None, {"stage": "decode"}, None], pa.struct([pa.field("stage", pa.string(), nullable=False)]))
    fields = [pa.field("n", pa.int32(), nullable=False), pa.field("frames", frames.type), pa.field("f", failures.type)]
    table = pa.table([pa.array([1, 2, 3], pa.int32()), frames, failures], schema=pa.schema(fields))
    packed = pack(table)
    assert packed.num_rows == 1
    back = unpack(packed)
    assert back.equals(table)
    assert back.schema.equals(table.schema)
    assert back.column("frames").chunk(0).buffers()[2].address == frames.buffers()[2].address
    assert unpack(pa.concat_tables([packed, pack(table.slice(1, 1))])).column("n").to_pylist() == [1, 2, 3, 2]
    assert unpack(pack(pa.concat_tables([table, table]))).num_rows == 6


@pytest.mark.usefixtures("ray_cluster")
def test_a_table_that_a_worker_yields_reaches_the_next_one_whole() -> None:
    from framegate.pipelines.driver.ray_dataset import answer_units, decode_videos
    from framegate.schemas.config import RayConfig

    class Yields:
        def __init__(self, max_together: int) -> None:
            self._max_together = max_together

        def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
            for block in together(batch.column("video_size_bytes").to_pylist(), self._max_together):
                yield batch.slice(block.start, len(block)).append_column("frames", pa.array([b"x" * 9000] * len(block)))

    class Counts:
        def __call__(self, batch: pa.Table) -> pa.Table:
            return pa.table({"n": batch.column("n"), "num_beside": [batch.num_rows] * batch.num_rows})

    videos = pa.table({"video_size_bytes": [9] * 100 + [10**9] * 5, "n": range(105)})
    config, shares = RayConfig(decode_workers=1), Shares(decode_cpus=0.5, reason_cpus=0.5)
    receipts = answer_units(config, decode_videos(config, videos, partial(Yields), shares), partial(Counts), shares)
    found = [unpack(batch) for batch in receipts.iter_batches(batch_size=None, batch_format="pyarrow")]
    assert sorted(n for table in found for n in table.column("n").to_pylist()) == list(range(105))
    assert sorted(table.num_rows for table in found) == [1] * 5 + [4] + [16] * 6
    assert all(set(table.column("num_beside").to_pylist()) == {table.num_rows} for table in found)


@pytest.mark.usefixtures("ray_cluster")
def test_ray_data_forgets_the_figures_of_blocks_while_it_runs() -> None:
    """Its lists of figures are where we look for them, and are short at the end."""
    import ray.data
    from ray.data import DataContext

    kept: list[int] = []

    def watch(operators: object) -> None:
        kept.extend(len(operator._output_blocks_stats) for operator in operators if hasattr(operator, NAME))
        forget_of(operators)

    context = DataContext.get_current().copy()
    forget_block_stats(context)
    forget_block_stats(context)
    assert [each.__name__ for each in context.custom_execution_callback_classes].count("ForgetBlockStats") == 1
    with pytest.MonkeyPatch.context() as patch, DataContext.current(context):
        patch.setattr("framegate.pipelines.driver.block_stats.forget_of", watch)
        num_blocks = 3 * MAX_KEPT
        tables = [pa.table({"n": [number]}) for number in range(num_blocks)]
        found = ray.data.from_arrow(tables).map_batches(lambda batch: batch, batch_size=None, batch_format="pyarrow")
        assert sum(batch["n"].size for batch in found.iter_batches(batch_size=None)) == num_blocks
    assert MAX_KEPT <= max(kept) < 2 * MAX_KEPT


NAME = "_output_blocks_stats"
