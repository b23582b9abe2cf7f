"""An archive of audited rows whose truth is known: the surer the first answer, the less often thinking changes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from framegate.pipelines.commit.output import Output
from framegate.pipelines.store.parquet import encode_parquet
from framegate.schemas.audit_sample import AuditSample, clip_key
from framegate.schemas.qa import Question
from framegate.schemas.tables import RESULTS
from tests.mornings import BLACK, COLOUR, Film
from tests.outputs import CONFIG_ID

THRESHOLD = 0.9


HALF = AuditSample(rate=0.5, salt="framegate")


@dataclass(frozen=True, kw_only=True)
class Archive:
    """`changed` is the share of rows that thinking changes at the lowest confidence; it falls to 0 at the highest.
    `says`: every first answer. `more`: other columns."""

    num_films: int = 40
    num_clips: int = 25
    questions: tuple[Question, ...] = (BLACK, COLOUR)
    sample: AuditSample = HALF
    changed: Mapping[str, float] = field(default_factory=lambda: {"black_seen": 0.2, "first_colour": 0.1})
    first_film: int = 0
    seed: int = 1
    rate_in_rows: float | None = -1.0
    cameras: tuple[str, ...] = ("north", "south")
    says: str = "yes"
    more: Mapping[str, Any] = field(default_factory=dict)

    def rows(self) -> Iterator[dict[str, Any]]:
        rng = np.random.default_rng(self.seed)
        for number in range(self.first_film, self.first_film + self.num_films):
            camera = self.cameras[number % len(self.cameras)]
            film = Film(number=number, uri=f"s3://cams/{number}.mp4", inputs={"input_camera": camera})
            for clip in range(self.num_clips):
                for question in self.questions:
                    confidence = round(float(rng.uniform(0.5, 1)), 6)
                    changes = bool(rng.uniform() < self.changed[question.id] * (1 - confidence) / 0.5)
                    yield film.row(clip, question, self.says) | self._gated(film, clip, question, confidence, changes)

    def _gated(self, film: Film, clip: int, question: Question, confidence: float, changes: bool) -> dict[str, Any]:
        rank = self.sample.rank_if_in(clip_key(film.video_id, clip), question.hash)
        rate = self.sample.rate if self.rate_in_rows == -1.0 else self.rate_in_rows
        if rate is None:
            rank = None
        is_unsure = confidence < THRESHOLD
        thinks = is_unsure or rank is not None
        other = "no" if self.says == "yes" else "yes"
        second = (other if changes else self.says) if thinks else None
        return {
            "answer": second if is_unsure else self.says,
            "answer_first": self.says,
            "answer_first_value": self.says,
            "answer_second": second,
            "answer_second_value": second,
            "confidence_first": confidence,
            "gate_reason": "unsure" if is_unsure else "audit" if thinks else "confident",
            "thinking": thinks,
            "num_thinking_tokens": 100 if thinks else 0,
            "threshold": THRESHOLD,
            "audit_rank": rank,
            "audit_rate": rate,
            **self.more,
        }


def put(output: Output, archive: Archive, *, number: int = 0, config_id: str = CONFIG_ID) -> list[dict[str, Any]]:
    """Its rows as one sealed file, as seal `number` would have begun it."""
    return put_rows(output, list(archive.rows()), number=number, config_id=config_id)


def put_rows(
    output: Output, rows: list[dict[str, Any]], *, number: int = 0, config_id: str = CONFIG_ID
) -> list[dict[str, Any]]:
    """The same of any rows."""
    schema = pa.schema([*RESULTS, pa.field("input_camera", pa.string())])
    kept = [{name: row.get(name) for name in schema.names} for row in rows]
    data = encode_parquet(pa.Table.from_pylist(kept, schema=schema).sort_by("video_id"))
    assert output.store.put_once(output.layout.sealed("results", config_id, "", number), data).created
    return rows


def make_output(folder: Path) -> Output:
    return Output.at(str(folder / "index"))
