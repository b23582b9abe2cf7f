"""What attacks begin with: films, a sound checkpoint, and outputs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import yaml

from framegate.pipelines.commit.calibrations import put_calibration
from framegate.pipelines.commit.first_asked import note_first_asked
from framegate.pipelines.commit.labels import put_labels
from framegate.pipelines.commit.lease import Member, enter
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.commit.video_log import add_to_video_log, read_video_log
from framegate.pipelines.commit.video_rows import make_rows
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.store.parquet import encode_parquet
from framegate.schemas.certificate import Calibration, Certificate
from framegate.schemas.clock import now
from framegate.schemas.keys import index_digest
from framegate.schemas.label import Label
from tests.audit.conftest import Archive
from tests.model_folders import make_model_folder
from tests.report.nights import LAST, answers_of, failure, put_night
from tests.security.damaging import findings
from tests.security.hostile_texts import CHARACTERS, MARKUP
from tests.security.manifest_rows import CANARY

OPENED: list[str] = []
"""Every file that this process has opened since a test cleared it."""


@pytest.fixture
def films(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """Films within and without a root, and links between them."""
    (tmp_path / "films").mkdir()
    make_video(tmp_path / "films" / "good.mp4", seconds=2)
    for folder in ("outside", "films-secret"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "secret.mp4").write_text(CANARY)
    (tmp_path / "outside" / "secret.tar").write_text(CANARY)
    (tmp_path / "films" / "inside-link.mp4").symlink_to(tmp_path / "films" / "good.mp4")
    (tmp_path / "films" / "link-out.mp4").symlink_to(tmp_path / "outside" / "secret.mp4")
    (tmp_path / "films" / "link-to-link.mp4").symlink_to(tmp_path / "films" / "link-out.mp4")
    (tmp_path / "films" / "folder-out").symlink_to(tmp_path / "outside")
    (tmp_path / "films-link").symlink_to(tmp_path / "films")
    os.mkfifo(tmp_path / "pipe.mp4")
    return tmp_path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A sound checkpoint, with a folder beside it that nothing may read."""
    beside = tmp_path / "beside"
    make_model_folder(beside)
    (beside / "secret").write_text("canary-of-the-folder-beside")
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "secret").write_text("canary-of-the-folder-beside")
    return make_model_folder(tmp_path / "checkpoint")


@pytest.fixture
def opened() -> list[str]:
    OPENED.clear()
    return OPENED


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        OPENED.append(os.fsdecode(arguments[0]))


sys.addaudithook(_note)


@pytest.fixture(scope="session")
def whole_archive(units: SimpleNamespace, facts: RunFacts, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """An output that has an object of each kind."""
    archive = Archive(str(tmp_path_factory.mktemp("whole") / "index"), units, facts, {"camera": "north"}, ())
    output, config_id, questions = archive.output, archive.config_id, units.QUESTIONS
    video = units.make_video("a", {"camera": "north"})
    for clip in range(2):
        label = Label(
            video_id=video.video_id, clip_index=clip, question_hash=questions[0].hash, answer=f"yes {clip}",
            labelled_by="ann", labelled_at=datetime(2026, 11, 22, tzinfo=UTC),
        )  # fmt: skip
        put_labels(output, config_id, [label])
    whole = Certificate(
        claim="agreement", question_id=None, question_hash=None, epsilon=0.01, delta=0.05, threshold=0.9, num_rows=20,
        population=200, num_exits=10, num_different=1, bound=0.01, num_missing=0,
    )  # fmt: skip
    put_calibration(
        output,
        Calibration(
            calibration_id="20261122T000000000000Z-abcdef", config_id=config_id, made_at="2026-11-22T00:00:00+00:00",
            audit_rate=0.1, audit_unit="row", audit_salt="s", num_uncovered=0, number_tolerance=0.0, span_overlap=0.5,
            whole=whole, questions=(),
        ),
    )  # fmt: skip
    output.store.delete([info.uri for info in output.list("configs")])
    note_first_asked(output, questions, datetime(2026, 11, 20, tzinfo=UTC))
    output.store.put_once(output.layout.config(config_id), yaml.safe_dump(archive.document).encode())
    rows = {"video_id": [video.video_id], "video_uri": [video.uri], "video_version": ["1"], "state": "current"}
    moment = {"since": datetime(2026, 11, 20, tzinfo=UTC), "source": "list"}
    add_to_video_log(
        output,
        make_rows({**{k: pa.array(v) if isinstance(v, list) else v for k, v in rows.items()}, **moment}, 1),
        read_video_log(output),
    )
    assert enter(output, config_id, Member(run_id="run-3"), now=now()) is None
    about = {
        b"framegate_shard": json.dumps({"uri": "s.tar", "version": "1", "refusal": None, "num_ignored": {}}).encode()
    }
    index = pa.table({"name": ["m.mp4"]}).replace_schema_metadata(about)
    name = f"{output.root}/indexes/{index_digest('s.tar', '1', 2)}.parquet"
    output.store.put_once(name, encode_parquet(index))
    attempt = output.layout.attempt(config_id, video.video_id, "decode", "run-3", 1)
    output.store.put_once(attempt, b'{"run_id": "run-3", "begun_at": "2026-11-22T00:00:00+00:00"}')
    erase(output, ["b.mp4"])
    assert findings(archive) == {}
    assert findings(archive, quick=True) == {}
    return archive


@pytest.fixture
def archive(whole_archive: Archive, tmp_path: Path) -> Archive:
    return whole_archive.copied(str(tmp_path / "index"))


@pytest.fixture(scope="session")
def hostile_index(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An output whose names, cameras, answers, thoughts, questions and messages are as bad as can be: text by text."""
    output = Output.at(str(tmp_path_factory.mktemp("people") / "index"))
    texts = [str(each.values[0]) for each in (*CHARACTERS, *MARKUP)]
    night = replace(LAST, videos=range(10, 10 + len(texts)), fields={"job": f"j{texts[0]}.yaml"})
    rows = answers_of(night)
    for row in rows:
        text = texts[int(row["video_id"], 16) - 10]
        row |= {"answer": text, "answer_first": text, "thinking_text": text, "question": text, "question_id": text}
        row |= {"video_uri": f"s3://c/{text}/{text}.mp4", "input_camera": text, "status": "answered"}
    failed = [failure(90 + n, "storage", night, message=text) for n, text in enumerate(texts)]
    put_night(output, 0, night, rows=rows, failures=failed)
    return output.root
