"""Whole runs on a real S3 server behind a faulty line: the rows of a fair line, or one sentence and nothing marked."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from framegate.pipelines import flow
from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.lab.bench.faults.small_archive import QUESTIONS, make_archive, make_model
from framegate.pipelines.lab.bench.faults.workbench import UNLIKE
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.store import Store, join
from framegate.schemas.errors import CredentialsError
from framegate.schemas.job import Job, parse_job
from framegate.schemas.run import RunSummary
from tests import s3_faults as faults
from tests.s3_faults import S3Faults

PATIENT = {"connect_timeout": 5, "read_timeout": 5}
EVERY_KIND = {
    "applied then 500": (faults.applied_then(500, "InternalError"), "PUT POST"),
    "applied then cut": (faults.applied_then_cut, "PUT POST"),
    "503": (faults.SLOW_DOWN, "GET HEAD PUT POST"),
    "409": (faults.CONFLICT, "PUT"),
    "412 with its condition": (faults.named_condition("If-None-Match"), "PUT"),
    "412 without": (faults.named_condition(None), "PUT"),
    "bodies cut": (faults.body_cut, "GET"),
    "listings that are old": (faults.stale_listing(2), "GET"),
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("archive") / "videos")[0].parent


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("checkpoint") / "model")


@pytest.fixture
def make_job(archive: Path, model: Path, s3_root: str, s3_faults: S3Faults) -> Any:
    """A job whose videos and output lie in a bucket at the other end of the faulty line."""
    for path in archive.iterdir():
        Store().put_once(join(s3_root, "videos", path.name), path.read_bytes())

    def make(name: str, *, endpoint: str = s3_faults.endpoint) -> Job:
        options = {"endpoint_url": endpoint, "config_kwargs": PATIENT}
        return parse_job(
            {
                "input": {"videos": join(s3_root, "videos/"), "storage_options": options},
                "clips": {"seconds": 2},
                "frames": {"fps": 2, "max_frames": 4},
                "questions": QUESTIONS,
                "model": {"name": str(model)},
                "output": {"uri": join(s3_root, name), "storage_options": options},
            }
        )

    return make


def run(job: Job) -> RunSummary:
    return flow.run(job, engine_factory=ScriptedEngine, in_process=True)


def rows(job: Job) -> Counter[str]:
    store, found = Store(), Counter[str]()
    for kind in ("results", "failures"):
        for info in store.list(join(job.config.output.uri, kind)):
            with store.open_read(info.uri) as file:
                table = pq.ParquetFile(file).read()
            kept = table.select([name for name in table.column_names if name not in UNLIKE])
            found.update(f"{kind} {sorted(row.items())}" for row in kept.to_pylist())
    return found


def findings(job: Job) -> int:
    return audit(Output.at(job.config.output.uri)).num_findings


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_run_through_faults_of_one_kind_has_the_rows_of_a_fair_line(
    kind: str, make_job: Any, s3_faults: S3Faults, s3_endpoint: str
) -> None:
    fair = make_job("fair", endpoint=s3_endpoint)
    run(fair)
    fault, methods = EVERY_KIND[kind]
    # An old listing of the videos would be another input, and no fault.
    target = "list-type.*faulty|faulty.*list-type" if "listings" in kind else ""
    # Every fourth request or so, from the first to the last; the dice are thrown the same way each time.
    dice = random.Random(kind)
    served = faults.sometimes(fault, lambda: dice.random() < 0.25)
    s3_faults.script(served, method=methods, target=target, times=float("inf"))
    faulty = make_job("faulty")
    summaries = [run(faulty) for _ in range(2)]
    s3_faults.clear()
    assert summaries[-1].num_videos_left == 0
    if "listings" in kind:
        run(faulty)  # a seal that did not see the newest units leaves them to the next one
    assert rows(faulty) == rows(fair)
    assert rows(fair).total() == 14
    assert findings(faulty) == 0


@pytest.mark.parametrize("target", ["index/journal", "videos/film", "index/seals"])
def test_credentials_that_expire_end_the_run_and_mark_nothing_as_failed(
    target: str, make_job: Any, s3_faults: S3Faults
) -> None:
    job = make_job("index")
    s3_faults.script(faults.EXPIRED, target=target, times=float("inf"))
    with pytest.raises(CredentialsError, match="renew them and run again") as raised:
        run(job)
    assert "\n" not in str(raised.value)
    s3_faults.clear()
    summary = run(job)
    assert (summary.is_complete, summary.num_videos_left) == (True, 0)
    assert rows(job).total() == 14
    assert findings(job) == 0
