"""A promise of videos to come: one audited row of each video, stored with its scope, and not mixed up with others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framegate.pipelines.calibrate.future import certify_future
from framegate.pipelines.calibrate.share import rows_needed
from framegate.pipelines.certify.of_output import Request, calibrate_output, store
from framegate.pipelines.certify.to_come import SEED
from framegate.pipelines.commit.calibrations import read_calibrations
from framegate.pipelines.commit.output import Output
from framegate.schemas.audit_sample import AuditSample
from framegate.schemas.certificate import Calibration
from framegate.schemas.config import OutputConfig
from framegate.schemas.config.gate import AuditConfig
from framegate.schemas.errors import ConfigError
from tests.certify.archive import Archive, make_output, put
from tests.outputs import CONFIG_ID

MANY = Archive(num_films=400, num_clips=4)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return make_output(tmp_path)


def certify(output: Output, **values: Any) -> Calibration:
    given: dict[str, Any] = {
        "job": None,
        "config_id": CONFIG_ID,
        "audit": AuditConfig(rate=0.5),
        "scope": "future",
        "epsilon": 0.05,
    }
    return calibrate_output(OutputConfig(uri=output.root), Request(**{**given, **values})).calibration


@pytest.mark.parametrize("num_draws", [1, 10])
def test_it_is_what_the_mathematics_says_of_the_audited_rows(output: Output, num_draws: int) -> None:
    rows = put(output, MANY)
    made = certify(output, num_draws=num_draws)
    audited = [row for row in rows if row["audit_rank"] is not None]
    audited.sort(key=lambda row: (row["audit_rank"], row["question_hash"]))
    expected = certify_future(
        [row["video_id"] for row in audited],
        np.array([row["confidence_first"] for row in audited]),
        np.array([row["answer_second_value"] == "no" for row in audited]),
        epsilon=0.05, delta=0.05, num_draws=num_draws, seed=SEED,
    )  # fmt: skip
    whole = made.whole
    assert expected.threshold is not None
    assert (whole.threshold, whole.num_units, whole.num_rows) == (
        expected.threshold, len({row["video_id"] for row in audited}), len(audited),
    )  # fmt: skip
    assert (whole.scope, whole.claim, whole.population, whole.bound) == (
        "future", "agreement", len(rows), expected.bound,
    )  # fmt: skip
    assert whole.bound <= 0.05
    again = certify(output, num_draws=num_draws)
    assert again.whole == whole, "nobody can draw until it pleases"


def test_many_rows_of_few_videos_say_how_many_videos_are_missing(output: Output) -> None:
    put(output, Archive(num_films=40, num_clips=50))
    whole = certify(output).whole
    assert (whole.threshold, whole.num_missing) == (None, rows_needed(0, 0.05, 0.05) - 40)
    assert certify(output, scope="archive").whole.threshold is not None, "of the rows that are there they say enough"


def test_each_question_and_camera_has_its_own(output: Output) -> None:
    put(output, MANY)
    found = calibrate_output(
        OutputConfig(uri=output.root),
        Request(job=None, config_id=CONFIG_ID, audit=AuditConfig(rate=0.5), scope="future", epsilon=0.1, by="camera"),
    )
    black, colour = found.calibration.questions
    assert (black.question_id, black.delta, black.num_together) == ("black_seen", 0.025, 2)
    assert {black.scope, colour.scope} == {"future"}
    assert black.num_units > 300
    assert [(group.value, group.certificate.num_together) for group in found.groups] == [("north", 2), ("south", 2)]
    assert sum(group.certificate.num_units for group in found.groups) == found.calibration.whole.num_units


def test_cameras_to_come_need_as_many_cameras(output: Output) -> None:
    many = tuple(f"camera-{number}" for number in range(200))
    rows = put(output, replace(MANY, cameras=many))
    whole = certify(output, unit="camera", epsilon=0.1).whole
    audited = sorted((row for row in rows if row["audit_rank"] is not None),
                     key=lambda row: (row["audit_rank"], row["question_hash"]))  # fmt: skip
    films = {row["video_id"]: int(row["video_id"], 16) for row in audited}
    expected = certify_future(
        [many[films[row["video_id"]] % 200] for row in audited],
        np.array([row["confidence_first"] for row in audited]),
        np.array([row["answer_second_value"] == "no" for row in audited]),
        epsilon=0.1, delta=0.05, seed=SEED,
    )  # fmt: skip
    assert (whole.threshold, whole.unit, whole.num_units) == (expected.threshold, "camera", 200)
    assert whole.threshold is not None
    few = certify(output, unit="camera", epsilon=0.01).whole
    assert (few.threshold, few.num_missing) == (None, rows_needed(0, 0.01, 0.05) - 200)
    with pytest.raises(ConfigError, match="'site' is no column of the manifests"):
        certify(output, unit="site")
    with pytest.raises(ConfigError, match="the unit camera is for the scope future alone"):
        certify(output, unit="camera", scope="archive")


def test_it_is_kept_with_its_scope_and_older_ones_are_of_the_archive(output: Output) -> None:
    put(output, MANY)
    config = OutputConfig(uri=output.root)
    request = Request(job=None, config_id=CONFIG_ID, audit=AuditConfig(rate=0.5), scope="future", epsilon=0.05)
    store(config, calibrate_output(config, request))
    [kept] = read_calibrations(output)
    assert (kept.whole.scope, kept.whole.num_units > 300) == ("future", True)
    document = kept.to_document()
    for each in (document["whole"], *document["questions"]):
        del each["scope"], each["unit"], each["num_units"]
    older = Calibration.from_document(document)
    assert (older.whole.scope, older.whole.num_units) == ("archive", 0)
    assert replace(older.whole, scope="future", unit="video", num_units=kept.whole.num_units) == kept.whole


def test_clips_that_were_audited_whole_are_refused(output: Output) -> None:
    put(output, replace(MANY, num_films=4, sample=AuditSample(rate=0.5, unit="clip", salt="framegate")))
    with pytest.raises(ConfigError, match=r"draws one row of each video, and gate\.audit\.unit is clip"):
        certify(output, audit=AuditConfig(rate=0.5, unit="clip"))
