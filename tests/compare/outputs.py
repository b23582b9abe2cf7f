"""Two sets of answers in one output, with labels that a person gave of the first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from framegate.pipelines.commit.labels import put_labels
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.records import record_config
from framegate.pipelines.compare.source import Source
from framegate.pipelines.store.parquet import encode_parquet
from framegate.schemas.config import CostConfig, OutputConfig
from framegate.schemas.label import Label
from framegate.schemas.tables import FAILURES
from tests.certify.archive import put_rows
from tests.mornings import BLACK, Film
from tests.outputs import NOON, failure_row

FIRST, SECOND = "a" * 16, "b" * 16
FILMS = tuple(Film(number=number, uri=f"s3://cams/{number}.mp4") for number in range(4))
TRUTH = "yes"


def put_answers(
    folder: Path, config_id: str, answers: Mapping[tuple[int, int], str | None], **values: Any
) -> list[dict[str, Any]]:
    """One row of BLACK for each (film, clip). `values`: other columns of all of them."""
    plain = {"num_prompt_tokens": 100, "num_video_tokens": 80, "num_answer_tokens": 4, "engine_seconds": 0.5}
    rows = [FILMS[film].row(clip, BLACK, said, **{**plain, **values}) for (film, clip), said in answers.items()]
    output = Output.at(str(folder / "index"))
    record_config(output, config_id, {"model": {"name": "dock"}})
    return put_rows(output, rows, config_id=config_id)


def put_failure(folder: Path, config_id: str, film: int, **values: Any) -> None:
    row = failure_row(film, "engine_error", 1, **{"config_id": config_id, **values})
    row |= {"video_uri": FILMS[film].uri, "video_id": FILMS[film].video_id}
    output = Output.at(str(folder / "index"))
    data = encode_parquet(pa.Table.from_pylist([row], schema=FAILURES))
    assert output.store.put_once(output.layout.sealed("failures", config_id, "", 0), data).created


def label(folder: Path, *places: tuple[int, int], config_id: str = FIRST, answer: str = TRUTH, hours: int = 0) -> None:
    labels = [
        Label(
            video_id=FILMS[film].video_id, clip_index=clip, question_hash=BLACK.hash, answer=answer,
            labelled_by="anna", labelled_at=NOON + timedelta(hours=hours),
        )
        for film, clip in places
    ]  # fmt: skip
    put_labels(Output.at(str(folder / "index")), config_id, labels)


def source(folder: Path, config_id: str, name: str, gpu_hour: float | None = None, currency: str = "EUR") -> Source:
    return Source(
        name=name,
        output=OutputConfig.made(uri=str(folder / "index")),
        config_id=config_id,
        cost=CostConfig(gpu_hour=gpu_hour, currency=currency),
    )
