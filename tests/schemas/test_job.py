"""A job file is read or refused in one sentence that names the key, the value and the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from framegate.schemas.config.gate import STRATEGY_NAMES
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import load_job, parse_job, parse_questions

STRATEGIES = " or ".join(", ".join(map(repr, STRATEGY_NAMES)).rsplit(", ", 1))
QUESTION = {"id": "red", "text": "Is there a red car?", "type": "yes_no"}
CHOICE = {"id": "colour", "text": "Which colour?", "type": "choice", "options": ["red", "blue"]}


def make_values(**parts: Any) -> dict[str, Any]:
    return {
        "input": {"videos": "videos/*.mp4"},
        "questions": [QUESTION],
        "model": {"name": "org/model"},
        "output": {"uri": "index"},
        **parts,
    }


def write_job(folder: Path, **parts: Any) -> Path:
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(make_values(**parts)))
    return path


def test_the_example_of_the_documentation_is_read(tmp_path: Path) -> None:
    (tmp_path / "questions.yaml").write_text(yaml.safe_dump([QUESTION, CHOICE]))
    (tmp_path / "job.yaml").write_text(
        """
        input:     {videos: "s3://archive/2026/**/*.mp4"}
        clips:     {seconds: 30, stride_seconds: 30}
        frames:    {fps: 2, max_frames: 64, max_video_tokens: 4096, decoder: pyav}
        questions: questions.yaml
        model:     {name: ./checkpoint, dtype: bfloat16, engine: transformers}
        gate:      {strategy: gated, threshold: 0.97, max_answer_tokens: 64, max_thinking_tokens: 1024}
        output:    {uri: "s3://index/cameras"}
        ray:       {reason_actors: {min: 1, max: 8}, gpus_per_actor: 1, decode_workers: 4}
        """
    )
    job = load_job(tmp_path / "job.yaml")
    assert [question.id for question in job.questions] == ["red", "colour"]
    assert job.questions[1].options == ("red", "blue")
    assert job.config.ray.reason_actors.max == 8
    assert job.config.model.name == str(tmp_path / "checkpoint")


def test_relative_paths_count_from_the_job_file(tmp_path: Path) -> None:
    (tmp_path / "system.txt").write_text("Answer briefly.")
    job = load_job(write_job(tmp_path, prompt={"system_file": "system.txt"}))
    assert job.config.input.videos == str(tmp_path / "videos/*.mp4")
    assert job.config.output.uri == str(tmp_path / "index")
    assert job.config.prompt.system == "Answer briefly."
    assert job.config.model.name == "org/model"


def test_uris_and_absolute_paths_stay(tmp_path: Path) -> None:
    videos = ["s3://bucket/a.mp4", "/data/b.mp4", "c/"]
    config = load_job(write_job(tmp_path, input={"videos": videos})).config
    assert config.input.videos == ("s3://bucket/a.mp4", "/data/b.mp4", str(tmp_path / "c") + "/")


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"gate": None}, "gate must be a mapping, got nothing"),
        ({"gate": "gated"}, "gate must be a mapping, got a str"),
        ({"clips": [30]}, "clips must be a mapping, got a list"),
        ({"gate": {"treshold": 0.9}}, "gate.treshold is not a known key; did you mean gate.threshold?"),
        ({"modell": {}}, "modell is not a known key; did you mean model?"),
        ({"ray": {"reason_actors": {"mix": 1}}}, "ray.reason_actors.mix is not a known key; did you mean ray.reason_"),
        (
            {"gate": {"strategy": "direct", "max_thoughts": 9}},
            "gate.max_thoughts is not a known key; did you mean gate.max_",
        ),
        (
            {"gate": {"strategy": "maybe"}},
            f"gate.strategy: input should be {STRATEGIES}, got 'maybe'",
        ),
        ({"gate": {"strategy": None}}, f"gate.strategy: input should be {STRATEGIES}, got None"),
        ({"gate": {"threshold": 1.5}}, "gate.threshold: input should be less than or equal to 1, got 1.5"),
        ({"clips": {"stride_seconds": 0}}, "clips.stride_seconds: input should be greater than 0, got 0"),
        ({"model": {}}, "model.name is missing"),
        (
            {"model": {"name": "m", "engine": "magic"}},
            "model.engine: input should be 'transformers' or 'vllm', got 'magic'",
        ),
        ({"input": {"videos": []}}, "input.videos"),
        ({"prompt": {"system": "a", "system_file": "b"}}, "prompt: give system or system_file, not both"),
        ({"prompt": {"system_file": "none.txt"}}, "none.txt does not exist"),
        ({"questions": "none.yaml"}, "none.yaml does not exist"),
        ({"gate": "gated"}, "gate"),
    ],
    ids=str,
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, parts: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_job(write_job(tmp_path, **parts))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "parts",
    [
        {"input": {"videos": "v", "storage_options": {"key": "AKIA"}}},
        {"output": {"uri": "o", "storage_options": {"secret": "x"}}},
        {"output": {"uri": "o", "storage_options": {"client_kwargs": {"aws_session_token": "x"}}}},
        {"output": {"uri": "o", "storage_options": {"client_kwargs": {"aws_access_key_id": "x"}}}},
        {"output": {"uri": "s3://user:pass@bucket/x"}},
        {"input": {"videos": ["a.mp4", "https://me:pass@host/x.mp4"]}},
    ],
    ids=str,
)
def test_credentials_are_refused_and_not_repeated(tmp_path: Path, parts: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="environment") as caught:
        load_job(write_job(tmp_path, **parts))
    assert "pass@" not in str(caught.value)
    assert "AKIA" not in str(caught.value)


def test_an_endpoint_is_no_secret(tmp_path: Path) -> None:
    options = {"endpoint_url": "http://127.0.0.1:9000", "anon": True}
    job = load_job(write_job(tmp_path, input={"videos": "s3://b/v", "storage_options": options}))
    assert job.config.input.storage_options == options


@pytest.mark.parametrize(
    ("questions", "sentence"),
    [
        ([], "holds no question"),
        ("words", "must hold a list of questions, got a str"),
        (None, "must hold a list of questions, got nothing"),
        ([QUESTION, QUESTION], "the id 'red' stands twice"),
        ([QUESTION, {**QUESTION, "id": "rouge"}], "'red' and 'rouge' ask the same"),
        ([{**QUESTION, "txt": "?"}], "unknown key 'txt'; did you mean 'text'?"),
        ([{**QUESTION, "type": "bool"}], "type must be one of choice, yes_no, number, text, span, got 'bool'"),
        ([{**QUESTION, "think": "maybe"}], "think must be one of auto, never, always, got 'maybe'"),
        ([{**QUESTION, "options": ["a", "b"]}], "options belong to type choice alone, and this is yes_no"),
        ([{**CHOICE, "options": []}], "a choice needs 2 to 26 options, got 0"),
        ([{**CHOICE, "options": [str(n) for n in range(27)]}], "a choice needs 2 to 26 options, got 27"),
        ([{**CHOICE, "options": ["a", "a"]}], "two options are the same"),
        ([{**CHOICE, "options": [True, "no"]}], "an option must be text, got True; put it in quotes"),
        ([{"text": "?"}], "id must be"),
        ([{"id": "q"}], "text must be"),
        (["red?"], "question 1 must be a mapping"),
    ],
    ids=str,
)
def test_a_wrong_question_is_named(questions: object, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_questions(questions)
    assert sentence in str(caught.value)


def test_a_job_file_that_is_no_yaml_or_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("input: [")
    with pytest.raises(ConfigError, match=r"job\.yaml is no valid YAML"):
        load_job(tmp_path / "job.yaml")
    with pytest.raises(ConfigError, match="must be a mapping"):
        parse_job(["a list"])
    with pytest.raises(ConfigError, match="does not exist"):
        load_job(tmp_path / "none.yaml")


def test_a_question_bank_may_stand_under_its_own_key() -> None:
    assert parse_questions({"questions": [QUESTION]})[0].id == "red"
