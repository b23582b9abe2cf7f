"""`framegate bench certificate`, on a few clips: what it counts, and a certificate that is not confirmed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from framegate.pipelines import flow
from framegate.pipelines.lab.bench.certificate.confirmation import Confirmation, certify, confirm, look, make_audited
from framegate.pipelines.lab.bench.certificate.deepening import Comparison, compare
from framegate.pipelines.lab.bench.certificate.dock_job import choose_questions, make_films, make_job
from framegate.pipelines.results.views import query
from framegate.schemas.errors import ConfigError

ASKED = choose_questions(["black_when", "parcel_in_d"])


def test_other_clips_are_counted_at_the_threshold(tmp_path: Path) -> None:
    audited = make_audited(tmp_path / "archive", ASKED, num_audited=8, num_clips=4, seed=5)
    flow.run(audited, in_process=True)
    certificate = certify(audited, "archive", epsilon=0.5, delta=0.2)
    assert (certificate.num_rows, certificate.population) == (8, 8)
    assert certificate.threshold is not None
    make_films(tmp_path / "others", num_clips=3, seed=6)
    others = make_job(tmp_path / "others", ASKED, {"strategy": "always_think"}, name="index")
    flow.run(others, in_process=True)
    all_go = look(others, replace(certificate, threshold=0.0))
    rows = query(others.config.output.uri, {}, "FROM answers").to_pylist()
    changed = sum(row["answer_second_value"] not in (None, row["answer_first_value"]) for row in rows)
    assert (all_go.num_rows, all_go.num_clips, all_go.num_exits) == (6, 3, 6)
    assert 0 < all_go.num_different <= changed  # spans that overlap by half are the same
    none_goes = look(others, replace(certificate, threshold=1.1))
    assert (none_goes.num_exits, none_goes.num_different, none_goes.holds) == (0, 0, True)


def test_more_lost_than_promised_is_not_confirmed() -> None:
    made = Confirmation(
        scope="archive", epsilon=0.01, delta=0.05, threshold=0.9, num_audited=9, num_rows=100, num_different=1
    )
    assert made.holds
    assert not replace(made, num_different=2).holds
    assert not replace(made, threshold=None).holds


def test_too_few_rows_certify_nothing(tmp_path: Path) -> None:
    found = confirm(tmp_path, ASKED[:1], num_audited=2, num_clips=2, seed=7, epsilon=0.01, delta=0.05, in_process=True)
    assert [(one.scope, one.threshold, one.holds) for one in found if one.scope == "future"] == [
        ("future", None, False)
    ]


def test_deepened_rows_are_those_of_a_run(tmp_path: Path) -> None:
    compared = compare(tmp_path / "dock", ASKED, num_clips=3, seed=8, low=0.0, high=1.0, in_process=True)
    assert (compared.num_rows, compared.num_deepened, compared.num_lost, dict(compared.unlike)) == (6, 6, 0, {})
    assert compared.holds
    assert not Comparison(low=0, high=1, num_rows=6, num_deepened=6, num_lost=0, unlike={"answer": 1}).holds


def test_unknown_questions_are_named() -> None:
    with pytest.raises(ConfigError, match="names 'parcel'; there are first_colour, "):
        choose_questions(["parcel"])
