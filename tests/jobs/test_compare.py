"""`framegate compare` as a person types it: jobs that ran, one output, files, and what is refused."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from typer.testing import Result

from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.job import load_job
from tests.asking import boxed
from tests.compare.outputs import FIRST, SECOND, label, put_answers

Framegate = Callable[..., Result]


def say(ask: Any) -> Any:
    """The first answer is no and unsure, the second yes."""
    return [*boxed("no", -0.5), ("hm", 0.0), *boxed("yes", -0.01)]


def write_job(folder: Path, model: Path, strategy: str, **parts: Any) -> Path:
    values = {
        "input": {"videos": str(folder / "videos")},
        "clips": {"seconds": 2},
        "frames": {"fps": 2, "max_frames": 4},
        "questions": [{"id": "q", "text": "Did it?", "type": "yes_no"}],
        "model": {"name": str(model)},
        "gate": {"strategy": strategy},
        "output": {"uri": str(folder / "index")},
        "decode": {"sandbox": False},
        "cost": {"gpu_hour": 3.6},
        **parts,
    }
    path = folder / f"{strategy}.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_two_strategies_that_ran(
    framegate: Framegate, tmp_path: Path, make_video: Callable[..., Path], model_folder: Path
) -> None:
    for number in range(2):
        make_video(tmp_path / "videos" / f"{number}.mp4", seconds=4)
    jobs = [write_job(tmp_path, model_folder, strategy) for strategy in ("direct", "always_think")]
    for path in jobs:
        assert framegate("compare", str(path), str(jobs[0])).exit_code == 2, "it has not run, or is alone"
        summary = flow.run(
            load_job(path), engine_factory=partial(ScriptedEngine, say), in_process=True, accept_new_config=True
        )
        assert summary.is_complete
    labels = tmp_path / "labels.csv"
    with labels.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video_uri", "clip_index", "question_id", "label"])
        rows.writerows([str(tmp_path / "videos" / f"{n}.mp4"), clip, "q", "yes"] for n in range(2) for clip in range(2))
    told, svg, html = (tmp_path / name for name in ("told.json", "picture.svg", "page.html"))
    result = framegate(
        "compare", *map(str, jobs), "--labels", str(labels), "--json", str(told), "--svg", str(svg), "--html", str(html)
    )
    assert result.exit_code == 0, result.output
    assert "4 labelled rows of 2 videos" in result.output
    assert "2 videos are few" in result.output
    first, second = json.loads(told.read_text())["rows"]
    assert (first["job"], first["strategy"], first["accuracy"], first["against_first"]) == (
        "direct",
        "direct",
        0.0,
        None,
    )
    assert (second["job"], second["accuracy"], second["think_share"]) == ("always_think", 1.0, 1.0)
    assert second["against_first"]["difference"] == 1.0
    assert second["against_first"]["p_videos"] == 0.5
    assert second["written_tokens"] > first["written_tokens"] > 0
    assert first["cost"] == pytest.approx(first["seconds"])
    assert ElementTree.fromstring(svg.read_text()).tag.endswith("svg")
    assert "Strategies compared" in html.read_text()


def test_one_output_is_compared_by_its_config_ids(framegate: Framegate, tmp_path: Path) -> None:
    places = [(film, clip) for film in range(4) for clip in range(2)]
    put_answers(tmp_path, FIRST, dict.fromkeys(places, "no"))
    put_answers(tmp_path, SECOND, dict.fromkeys(places, "yes"))
    label(tmp_path, *places)
    told = tmp_path / "told.json"
    uri = str(tmp_path / "index")
    named = ("--config-id", SECOND, "--config-id", FIRST)
    result = framegate("compare", uri, *named, "--against", "written", "--json", str(told))
    assert result.exit_code == 0, result.output
    document = json.loads(told.read_text())
    assert [row["job"] for row in document["rows"]] == [SECOND, FIRST]
    assert document["rows"][1]["against_first"]["difference"] == -1.0
    assert (document["header"]["axis"], document["header"]["num_rows"]) == ("written", 8)


def test_it_loads_neither_ray_nor_torch() -> None:
    code = (
        "import sys, framegate.jobs.compare, framegate.pipelines.compare.build, framegate.pipelines.compare.page;"
        "print(sorted({'ray', 'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("index", "--config-id", FIRST), "there is 1 set of answers to compare"),
        (("index", "--config-id", FIRST, "--config-id", FIRST), "is given twice"),
        (("index", "--config-id", "c" * 16), "is none of"),
        (("index", "index"), "one is meant: name the job file"),
        (("index", "index", "--config-id", FIRST), "chooses among the answers of one output"),
        (("index", "--against", "joy"), "--against joy: give one of cost, seconds, written, seen"),
        (("index", "--labels", "labels.txt"), "--labels labels.txt: the name must end in .csv or .jsonl"),
        (("nowhere",), "there is no output at nowhere"),
        (("index",), "no row of these answers has a label"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    framegate: Framegate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    for config_id in (FIRST, SECOND):
        put_answers(tmp_path, config_id, {(0, 0): "yes"})
    (tmp_path / "labels.txt").touch()
    monkeypatch.chdir(tmp_path)
    result = framegate("compare", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
