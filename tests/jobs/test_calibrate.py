"""`framegate calibrate` says what is certified, keeps it, and tells a schedule by its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from framegate.pipelines.commit.calibrations import read_calibrations
from framegate.pipelines.commit.output import Output
from framegate.schemas.audit_sample import AuditSample
from tests.certify.archive import Archive, put, put_rows
from tests.certify.test_prunes import make_rows as pruned_rows
from tests.outputs import CONFIG_ID

Framegate = Callable[..., Result]


def write_job(folder: Path, audit: str = "{rate: 0.5}") -> Path:
    job = folder / "job.yaml"
    job.write_text(
        f"input: {{videos: {folder}/videos/}}\nmodel: {{name: nowhere}}\noutput: {{uri: {folder}/index}}\n"
        f"questions: [{{id: q, text: Is anyone there, type: yes_no}}]\ngate: {{audit: {audit}}}\n",
        encoding="utf-8",
    )
    return job


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output.at(str(tmp_path / "index"))


def test_it_says_the_threshold_and_keeps_it(framegate: Framegate, output: Output, tmp_path: Path) -> None:
    put(output, Archive())
    told = tmp_path / "calibration.json"
    command = ("calibrate", str(write_job(tmp_path)), "--config-id", CONFIG_ID, "--epsilon", "2%", "--by", "camera")
    result = framegate(*command, "--json", str(told))
    assert result.exit_code == 0, result.output
    [kept] = read_calibrations(output, CONFIG_ID)
    assert f"threshold {kept.whole.threshold:.6g}: with probability 95.00% at most" in result.output
    assert "all 2 hold together with probability 95.00%" in result.output
    assert "black_seen" in result.output
    assert "north" in result.output
    assert f"{kept.calibration_id}.json" in result.output
    [row] = json.loads(told.read_text())["rows"]
    assert row["calibration"]["whole"]["threshold"] == kept.whole.threshold
    assert {group["value"] for group in row["groups"]} == {"north", "south"}


def test_a_dry_run_keeps_nothing(framegate: Framegate, output: Output, tmp_path: Path) -> None:
    put(output, Archive())
    result = framegate("calibrate", str(write_job(tmp_path)), "--config-id", CONFIG_ID, "--epsilon", "2%", "--dry-run")
    assert (result.exit_code, read_calibrations(output)) == (0, [])


def test_too_few_rows_exit_with_1(framegate: Framegate, output: Output, tmp_path: Path) -> None:
    put(output, Archive(num_films=4, sample=AuditSample(rate=0.2, salt="framegate")))
    result = framegate("calibrate", str(write_job(tmp_path)), "--config-id", CONFIG_ID)
    assert result.exit_code == 1
    assert "no threshold can be certified" in result.output
    assert "too few for epsilon 0.01 and delta 0.05" in result.output


def test_videos_to_come_are_certified_by_their_number(framegate: Framegate, output: Output, tmp_path: Path) -> None:
    put(output, Archive(num_films=400, num_clips=4))
    command = ("calibrate", str(write_job(tmp_path)), "--config-id", CONFIG_ID, "--scope", "future")
    result = framegate(*command, "--epsilon", "5%", "--draws", "5")
    assert result.exit_code == 0, result.output
    [kept] = read_calibrations(output, CONFIG_ID)
    assert (kept.whole.scope, kept.whole.num_units > 300) == ("future", True)
    assert "of the rows of a video to come, on average over all like those of the sample" in " ".join(
        result.output.split()
    )
    assert f"rows were audited, of {kept.whole.num_units} units (video)" in " ".join(result.output.split())
    few = framegate(*command, "--epsilon", "0.1%")
    assert few.exit_code == 1
    assert f"which is {kept.whole.num_units * -1 + 2995:,} units too few" in " ".join(few.output.split())


def test_precision_of_a_question_by_labels(framegate: Framegate, output: Output, tmp_path: Path) -> None:
    put(output, Archive(num_films=60))
    job, path = str(write_job(tmp_path)), tmp_path / "labels.jsonl"
    named = (job, "--config-id", CONFIG_ID, "--claim", "precision", "--question", "black_seen")
    without = framegate("calibrate", *named, "--epsilon", "10%")
    assert without.exit_code == 2
    assert "framegate label --claim precision lists the rows" in " ".join(without.output.split())
    assert framegate("label", *named, "--most", "400", "--out", str(path)).exit_code == 0
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert {row["question_id"] for row in rows} == {"black_seen"}
    path.write_text("".join(json.dumps(row | {"label": row["second_value"]}) + "\n" for row in rows))
    read = framegate("label", job, "--config-id", CONFIG_ID, "--read", str(path), "--by", "anna")
    assert f"{len(rows)} labels stored" in read.output
    result = framegate("calibrate", *named, "--epsilon", "10%")
    assert result.exit_code == 0, result.output
    told = " ".join(result.output.split())
    [kept] = read_calibrations(output, CONFIG_ID)
    assert (
        f"threshold {kept.whole.threshold:.6g} of 'black_seen': with probability 95.00% at most 10.00% of the rows"
        in told
    )
    assert f"{len(rows)} of them have a label" in told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--epsilon", "0%"), "--epsilon 0%: give a share above 0% and below 100%"),
        (("--every-night", "--dry-run"), "--every-night counts its looks by what is stored"),
        (("--delta", "2"), "--delta 2: give a share from 0% to 100%"),
        (("--by", "site"), "'site' is no column of the manifests of this output; it has camera"),
        (("--question", "people"), "--question people: no row of such a question was audited"),
        (("--claim", "recall", "--question", "first_colour"), "the claim recall is about yes/no questions"),
        (("--claim", "error", "--scope", "future"), "the scope future is there for the claim agreement"),
        (("--draws", "5"), "5 draws of a row of each video are for the scope future alone"),
        (("--claim", "error", "--by", "camera"), "groups of rows are certified for the claim agreement"),
        ((), "the job has not run yet"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    framegate: Framegate, output: Output, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    put(output, Archive(num_films=2))
    named = ("--config-id", CONFIG_ID) if options else ()
    result = framegate("calibrate", str(write_job(tmp_path)), *named, *options)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_measures_that_rows_have_stand_beside_confidence(framegate: Framegate, output: Output, tmp_path: Path) -> None:
    put(output, Archive(more={"confidence_margin": 0.5, "confidence_entropy": 0.1}))
    told = tmp_path / "calibration.json"
    command = ("calibrate", str(write_job(tmp_path)), "--config-id", CONFIG_ID, "--epsilon", "2%", "--json", str(told))
    result = framegate(*command)
    assert result.exit_code == 0, result.output
    assert "by measure, where at most 2.00% are let go and changed; this certifies nothing" in result.output
    [row] = json.loads(told.read_text())["rows"]
    confidence, *others = row["measures"]
    assert [each["name"] for each in row["measures"]] == ["confidence", "margin", "entropy"]
    # All rows have the same margin, so that they are let go together, or not at all.
    assert [each["exit_share"] for each in others] == [0.0, 0.0]
    assert 0 < confidence["exit_share"] < 1
    assert confidence["different_share"] <= 0.02
    assert confidence["num_rows"] == row["calibration"]["whole"]["num_rows"]


def test_rows_without_other_measures_have_no_table_of_them(
    framegate: Framegate, output: Output, tmp_path: Path
) -> None:
    put(output, Archive())
    result = framegate("calibrate", str(write_job(tmp_path)), "--config-id", CONFIG_ID, "--epsilon", "2%")
    assert (result.exit_code, "by measure" in result.output.lower()) == (0, False)


def test_it_says_what_taking_over_answers_loses(framegate: Framegate, output: Output, tmp_path: Path) -> None:
    rows = list(Archive().rows())
    for row in rows:
        if row["clip_index"] >= 5:
            row |= {"copied_from": 4, "answer": "yes", "answer_asked": row["audit_rank"] and "yes"}
    put_rows(output, rows)
    told = tmp_path / "told.json"
    command = ("calibrate", str(write_job(tmp_path)), "--config-id", CONFIG_ID, "--epsilon", "5%", "--json", str(told))
    text = " ".join(framegate(*command).output.split())
    assert "taken over: 1,600 rows have answers of a clip that showed the same" in text
    assert "of what was taken over differs (asked for: 5.00%; this holds)" in text
    [row] = json.loads(told.read_text())["rows"]
    assert row["copies"]["whole"]["population"] == 1600
    assert row["copies"]["whole"]["num_different"] == 0


@pytest.mark.parametrize(("own", "code", "held"), [("yes", 0, "this holds"), ("no", 1, "this is not shown")])
def test_without_a_gate_it_says_what_taking_over_loses_alone(
    framegate: Framegate, output: Output, tmp_path: Path, own: str, code: int, held: str
) -> None:
    rows = list(Archive().rows())
    for row in rows:
        row["strategy"], row["gate_reason"] = "direct", "never"
        if row["clip_index"] >= 5:
            row |= {"copied_from": 4, "answer": "yes", "answer_asked": row["audit_rank"] and own}
        else:
            row |= {"audit_rank": None, "audit_rate": None}
    put_rows(output, rows)
    result = framegate("calibrate", str(write_job(tmp_path)), "--config-id", CONFIG_ID, "--epsilon", "5%")
    assert result.exit_code == code, result.output
    text = " ".join(result.output.split())
    assert "so that there is no threshold to certify" in text
    assert f"(asked for: 5.00%; {held})" in text
    assert read_calibrations(output, CONFIG_ID) == []


def test_it_says_how_much_pruning_is_certified(framegate: Framegate, output: Output, tmp_path: Path) -> None:
    put_rows(output, pruned_rows())
    told = tmp_path / "told.json"
    command = ("calibrate", str(write_job(tmp_path)), "--config-id", CONFIG_ID, "--epsilon", "5%", "--json", str(told))
    text = " ".join(framegate(*command).output.split())
    assert "pruning: level 0.1 of frames.prune: with probability 95.00% at most" in text
    assert "50.0% of their video tokens stay" in text
    [row] = json.loads(told.read_text())["rows"]
    assert row["prunes"]["certificates"][0]["level"] == 0.1
    assert row["calibration"]["prunes"] == row["prunes"]["certificates"]


def test_where_pruning_changes_too_much_it_says_so(framegate: Framegate, output: Output, tmp_path: Path) -> None:
    put_rows(output, pruned_rows(wrong={0.02: 0.3}))
    command = ("calibrate", str(write_job(tmp_path)), "--config-id", CONFIG_ID, "--epsilon", "5%", "--dry-run")
    text = " ".join(framegate(*command).output.split())
    assert "pruning: no level is certified" in text
