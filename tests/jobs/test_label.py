"""`framegate label` writes what is to be labelled, and reads it back."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from framegate.pipelines.commit.labels import read_labels
from framegate.pipelines.commit.output import Output
from tests.certify.archive import Archive, put
from tests.jobs.test_calibrate import write_job
from tests.mornings import BLACK
from tests.outputs import CONFIG_ID

Framegate = Callable[..., Result]


@pytest.fixture
def output(tmp_path: Path) -> Output:
    output = Output.at(str(tmp_path / "index"))
    put(output, Archive(num_films=40, questions=(BLACK,)))
    return output


@pytest.fixture
def label(framegate: Framegate, tmp_path: Path) -> Callable[..., Result]:
    job = str(write_job(tmp_path))
    return lambda *options: framegate("label", job, "--config-id", CONFIG_ID, *options)


def test_a_table_is_written_filled_in_and_read_back(
    label: Callable[..., Result], output: Output, tmp_path: Path
) -> None:
    path = tmp_path / "labels.csv"
    result = label("--claim", "error", "--most", "5", "--out", str(path))
    assert result.exit_code == 0, result.output
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    assert {row["label"] for row in rows} == {""}
    for row in rows[:3]:
        row["label"] = "no"
    with path.open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    result = label("--read", str(path), "--by", "anna")
    assert "3 labels stored; 2 rows have none" in result.output
    assert {one.labelled_by for one in read_labels(output, CONFIG_ID).values()} == {"anna"}
    assert "3 of" in label("--claim", "error").output


def test_lines_of_json_are_read_back_as_well(label: Callable[..., Result], output: Output, tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    assert label("--claim", "error", "--most", "4", "--out", str(path)).exit_code == 0
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row | {"label": "yes"}) + "\n" for row in rows))
    assert "4 labels stored" in label("--read", str(path), "--by", "ben").output
    assert len(read_labels(output, CONFIG_ID)) == 4


def test_a_page_shows_both_answers_and_loads_nothing(
    label: Callable[..., Result], output: Output, tmp_path: Path
) -> None:
    path = tmp_path / "labels.html"
    result = label("--out", str(path), "--most", "3")
    assert result.exit_code == 0, result.output
    page = path.read_text()
    assert page.count('class="card"') == 3
    assert page.count('data-answer="&#34;yes&#34;"') == page.count('data-answer="&#34;no&#34;"') == 3
    assert "default-src 'none'" in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page


def test_a_spread_list_is_of_all_confidences(label: Callable[..., Result], output: Output, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    result = label("--spread", "--most", "60", "--out", str(path))
    assert result.exit_code == 0, result.output
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert len({round(float(row["confidence_first"]), 1) for row in rows}) == 6
    assert {row["first_value"] == row["second_value"] for row in rows} == {True, False}


def test_a_page_offers_yes_and_no_where_both_answers_are_the_same(
    label: Callable[..., Result], output: Output, tmp_path: Path
) -> None:
    path = tmp_path / "labels.html"
    assert label("--claim", "recall", "--out", str(path), "--most", "9").exit_code == 0
    page = path.read_text()
    assert page.count('data-answer="&#34;yes&#34;"') == page.count('data-answer="&#34;no&#34;"') == 9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--read", "labels.csv"), "--read takes --by NAME, and no --out"),
        (("--read", "labels.txt", "--by", "anna"), "cannot read labels.txt"),
        (("--out", "labels.xlsx"), "the name must end in .csv, .jsonl or .html"),
        (("--epsilon", "0"), "--epsilon 0: give a share above 0% and below 100%"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    label: Callable[..., Result], output: Output, options: tuple[str, ...], said: str
) -> None:
    result = label(*options)
    assert result.exit_code == 2
    assert said in result.output
