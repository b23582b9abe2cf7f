"""`framegate bench still`: made nights, what is taken over of them, and what the certificate says, once, small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.lab.bench.still import Promise, make_night, measure_still

NIGHTS = 2


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("nights")
    paths = [folder / f"night{number}.mp4" for number in range(NIGHTS)]
    for number, path in enumerate(paths):
        make_night(path, seconds=40, seed=number)
    return paths


def test_what_is_taken_over_is_held_against_the_pixels_and_certified(films: list[Path], tmp_path: Path) -> None:
    promise = Promise(audit_rate=1.0, epsilon=0.01, delta=0.05)
    every, fine, coarse = measure_still(
        films, tmp_path, within=[2, 6], clip_seconds=5, fps=0.5, promise=promise, num_timed=1
    )
    assert (every.num_clips, every.num_timed_clips, every.num_copied, every.certificate) == (16, 8, 0, None)
    assert (every.num_wrong, every.num_different) == (0, 0)
    assert every.num_person_clips is not None
    assert every.num_person_clips >= NIGHTS
    assert 0 < fine.num_copied < coarse.num_copied
    assert (fine.num_missed, coarse.num_missed) == (0, 0)
    assert fine.num_wrong is not None
    assert coarse.num_wrong is not None
    assert fine.num_wrong < coarse.num_wrong, "rain is not seen any more"
    for one in (fine, coarse):
        bound = one.certificate
        assert bound is not None
        assert bound.population == one.num_copied
        assert bound.num_different == one.num_wrong, "what the audit finds of all rows is what the pixels say"
        assert bound.bound == one.num_wrong / one.num_copied, "all rows were asked"


def test_films_that_were_not_made_have_no_truth_and_no_certificate(films: list[Path], tmp_path: Path) -> None:
    every, fine = measure_still(films[:1], tmp_path, within=[2], clip_seconds=5, fps=0.5, promise=None)
    assert (every.num_clips, every.num_timed_clips) == (8, 8)
    assert (fine.num_wrong, fine.num_missed, fine.num_person_clips, fine.certificate) == (None,) * 4
    assert fine.num_copied > 0


def test_the_command_prints_the_certificate(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    options = ("--nights", "1", "--minutes", "1", "--within", "2", "--audit", "100%", "--epsilon", "2%")
    result = CliRunner().invoke(app, ["bench", "still", *options, "--json", str(told)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    found = json.loads(told.read_text())
    assert found["header"] == {"audit_rate": 1.0, "epsilon": 0.02, "delta": 0.05}
    certificate = found["rows"][1]["certificate"]
    assert certificate["num_audited"] == certificate["population"] == found["rows"][1]["num_copied"] > 0
    text = " ".join(result.output.split())
    assert "asked for: at most 2.00% differ, wrong with a chance of 5.00%" in text
    assert "holds" in text


@pytest.mark.parametrize("options", [("--audit", "0%"), ("--epsilon", "0%"), ("--delta", "100%")])
def test_a_promise_needs_shares_between_none_and_all(options: tuple[str, str]) -> None:
    result = CliRunner().invoke(app, ["bench", "still", *options])
    assert result.exit_code == 2
    assert f"{' '.join(options)}: give a share above 0% and below 100%" in " ".join(result.output.split())
