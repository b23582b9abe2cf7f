"""An output that the product's own commits, seals and records wrote, ready to be damaged."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from framegate.pipelines.commit.fixed import fix
from framegate.pipelines.commit.journal import Receipt, commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.records import record_config, record_plan
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.schemas.config import config_id
from framegate.schemas.counts import SEALED_COUNTS
from framegate.schemas.unit import AnsweredUnit
from tests.run_records import put_run

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Archive:
    """run-1: videos a, b (a question of each clip failed) and broken, sealed; run-2: video c, sealed by a second seal;
    run-3: video d, in the journal, not ended. 15 answers and 4 failures are sealed, 6 rows wait."""

    def __init__(
        self, root: str, units: SimpleNamespace, facts: RunFacts, inputs: Mapping[str, Any], partition_by: Sequence[str]
    ) -> None:
        self.output = Output.at(root)
        self.document = document = {"schema_version": 2, "model": "model"}
        self.config_id = config_id(document)
        facts = replace(facts, config_id=self.config_id)
        self._units, self._facts, self._inputs, self._partition_by = units, facts, inputs, partition_by
        record_config(self.output, self.config_id, document)
        columns = {name.removeprefix("input_"): pa.scalar(value).type for name, value in inputs.items()}
        fix(self.output, partition_by, columns)
        self.run("run-1", "ab", broken=True)
        self.run("run-2", "c")
        self.run("run-3", "d", is_ended=False)

    def copied(self, root: str) -> Archive:
        """The same elsewhere; both are local."""
        shutil.copytree(self.output.root, root)
        other = copy.copy(self)
        other.output = Output.at(root)
        return other

    def run(self, run_id: str, names: str, *, broken: bool = False, is_ended: bool = True) -> None:
        """A run as the flow leaves it; of work that another one did already, where that was sealed meanwhile."""
        facts = replace(self._facts, run_id=run_id)
        videos = [self._units.make_video(name, self._inputs) for name in [*names, *(["broken"] if broken else [])]]
        hashes = [question.hash for question in self._units.QUESTIONS]
        shared = {"question_hashes": hashes, "config_id": self.config_id}
        rows = [{"video_id": v.video_id, "video_uri": v.uri, "video_version": v.version, **shared} for v in videos]
        put_run(self.output, run_id, config_id=self.config_id, num_videos=len(videos))
        record_plan(self.output, run_id, pa.Table.from_pylist(rows))
        receipts = []
        for video in videos:
            if video.uri == "broken.mp4":
                receipts.append(self._commit(self._units.make_undecoded(video, None), facts))
                continue
            is_failing = video.uri == "b.mp4"
            for clips in (range(2), range(2, 3)):
                unit = self._units.make_unit(video, clips, num_clips=3, failing=is_failing)
                receipts.append(self._commit(unit, facts))
        if is_ended:
            seal(self.output, self.config_id, partition_by=self._partition_by)
            assert all(receipt.created for receipt in receipts)
            records = SealLog(self.output, self.config_id).read_records()
            mine = [asdict(record.runs[run_id]) for record in records if run_id in record.runs]
            counts = {name: sum(one[name] for one in mine) for name in SEALED_COUNTS}
            put_run(self.output, run_id, state="complete", config_id=self.config_id, counts=counts)

    def commit_late(self, run_id: str, name: str) -> None:
        """A planned question of a video's three clips, by a request that was under way when the run ended."""
        video, questions = self._units.make_video(name, self._inputs), self._units.QUESTIONS[2:]
        unit = self._units.make_unit(video, range(3), num_clips=3, questions=questions)
        assert self._commit(unit, replace(self._facts, run_id=run_id)).created

    def _commit(self, unit: AnsweredUnit, facts: RunFacts) -> Receipt:
        return commit_unit(self.output, unit, facts, written_at=NOON)

    def agree(self, path: Path, num_rows: int) -> None:
        """The seal's record and the run's say what is in a file of a local archive that a test has changed."""
        data, name = path.read_bytes(), str(path.relative_to(self.output.root))
        paths = sorted(found for found in Path(self.output.root, "seals").rglob("*.json") if name in found.read_text())
        record = json.loads(paths[-1].read_text())
        (file,) = [file for file in record["files"] if file["uri"] == name]
        num_more = num_rows - file["num_rows"]
        sha256 = hashlib.sha256(data).hexdigest()
        file.update(num_rows=num_rows, size_bytes=len(data), sha256=sha256, sha256_sealed=sha256)
        paths[-1].write_text(json.dumps(record))
        record = json.loads(paths[0].read_text())  # what is changed are rows of the first run
        which = "num_answers" if file["table"] == "results" else "num_failures"
        ((run_id, counts),) = record["runs"].items()
        run_path = Path(self.output.layout.run(run_id))
        run = json.loads(run_path.read_text())
        for told in (counts, run["counts"]):
            told[which] += num_more
            told["num_answer_tokens"] += 3 * num_more if which == "num_answers" else 0
        paths[0].write_text(json.dumps(record))
        run_path.write_text(json.dumps(run))


@pytest.fixture(scope="session")
def make_archive(units: SimpleNamespace, facts: RunFacts) -> Callable[..., Archive]:
    """`make_archive(root)`; see Archive."""

    def make(root: str, *, inputs: Mapping[str, Any] | None = None, partition_by: Sequence[str] = ()) -> Archive:
        return Archive(root, units, facts, inputs or {}, partition_by)

    return make
