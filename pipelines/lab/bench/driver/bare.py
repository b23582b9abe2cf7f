"""Ray Data alone at the same work: PyAV decodes, a constant answers, `write_parquet` writes rows of the same columns.

    python -m framegate.pipelines.lab.bench.driver.bare '{"films": "DIR", "output": "DIR", "per_block": 16, ...}'

It keeps no book: nothing is looked up, marked, committed, sealed or counted, and a bad file ends it.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import pyarrow as pa

from framegate.pipelines.driver.cluster import start_ray
from framegate.pipelines.lab.bench.driver.films import QUESTIONS
from framegate.schemas.config import RayConfig
from framegate.schemas.tables import RESULTS

NUM_FRAMES: Final = 4
TELL_SECONDS: Final = 0.5
_VALUES: Final[tuple[tuple[Callable[[pa.DataType], bool], Any], ...]] = (
    (pa.types.is_string, "yes"),
    (pa.types.is_integer, 1),
    (pa.types.is_floating, 0.5),
    (pa.types.is_boolean, True),
)


class Decode:
    """Names of films to their frames."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        frames = [_frames(name) for name in batch.column("film").to_pylist()]
        return batch.append_column("frames", pa.array(frames, pa.large_binary()))


class Answer:
    """Frames to rows in RESULTS, one for each question. Tells how far it is in the file `progress`, as `ours` does."""

    def __init__(self, progress: str) -> None:
        self._progress = open(progress, "w", buffering=1)  # noqa: SIM115
        self._num_films, self._told_at = 0, 0.0

    def __call__(self, batch: pa.Table) -> pa.Table:
        self._num_films += batch.num_rows
        if time.monotonic() - self._told_at >= TELL_SECONDS:
            self._told_at = time.monotonic()
            self._progress.write(f"{self._told_at} {self._num_films}\n")
        rows = []
        for name, frames in zip(batch.column("film").to_pylist(), batch.column("frames"), strict=True):
            assert frames.as_buffer().size
            video_id = hashlib.sha256(name.encode()).hexdigest()[:16]
            constant = {field.name: _constant(field.type) for field in RESULTS}
            for question in QUESTIONS:
                rows.append({**constant, "video_uri": name, "video_id": video_id, "question_id": question["id"]})
        return pa.Table.from_pylist(rows, schema=RESULTS)


def _constant(kind: pa.DataType) -> Any:
    """A value for a column of this type. Raises TypeError where there is none."""
    if pa.types.is_list(kind):
        return [_constant(kind.value_type)]
    if pa.types.is_struct(kind):
        return {field.name: _constant(field.type) for field in kind}
    if pa.types.is_timestamp(kind):
        return datetime.now(UTC)
    for is_kind, value in _VALUES:
        if is_kind(kind):
            return value
    raise TypeError(f"no value for a column of {kind}")


def main() -> None:
    spec = json.loads(sys.argv[1])
    workers = spec["decode_workers"]
    shares = start_ray(RayConfig(decode_workers=workers))
    import ray.data
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    films = sorted(str(path) for path in Path(spec["films"]).rglob("*.mp4"))
    blocks = [pa.table({"film": films[n : n + spec["per_block"]]}) for n in range(0, len(films), spec["per_block"])]
    dataset = ray.data.from_arrow(blocks)
    options: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow"}
    dataset = dataset.map_batches(
        Decode, compute=ActorPoolStrategy(size=workers), num_cpus=shares.decode_cpus, **options
    )
    options["fn_constructor_args"] = (spec["progress"],)
    dataset = dataset.map_batches(Answer, compute=ActorPoolStrategy(size=1), num_cpus=shares.reason_cpus, **options)
    dataset.write_parquet(spec["output"], concurrency=1, ray_remote_args={"num_cpus": shares.reason_cpus / 2})
    print(json.dumps({"num_videos": len(films), "num_rows": len(films) * len(QUESTIONS)}))


def _frames(name: str) -> bytes:
    """Every fourth frame of two seconds at eight a second."""
    with av.open(name) as container:
        frames = [frame.to_ndarray(format="rgb24") for n, frame in enumerate(container.decode(video=0)) if n % 4 == 0]
    return np.stack(frames[:NUM_FRAMES]).tobytes()


if __name__ == "__main__":
    main()
