"""The plan as decode tasks: all videos once, in whole blocks, and few ones still spread over all workers."""

from __future__ import annotations

import pyarrow as pa
import pytest

from framegate.pipelines.driver import blocks as blocks_module
from framegate.pipelines.driver.block_stats import MAX_KEPT, forget_block_stats, forget_of
from framegate.pipelines.driver.blocks import make_tasks, max_together
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
