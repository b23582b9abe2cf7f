"""Attacks by a checkpoint: each is refused in one sentence, by every command, before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.reason.models import tokenizer_trial
from framegate.schemas.config import ModelConfig
from tests.security.checkpoint_edits import Spoil, refusal
from tests.security.refused_checkpoints import ARGUMENTS, CONFIGS, FILES, HEADERS, INDEXES, TOKENIZERS


@pytest.mark.parametrize(("spoil", "words"), [*FILES, *INDEXES, *HEADERS, *CONFIGS])
def test_a_checkpoint_is_refused_in_one_sentence_and_nothing_beside_it_is_opened(
    spoil: Spoil, words: str | None, checkpoint: Path, opened: list[str]
) -> None:
    spoil(checkpoint)
    opened.clear()
    said = refusal(checkpoint)
    assert (said is None) == (words is None), said
    if words is not None and said is not None:
        assert words in said
        assert len(said.splitlines()) == 1
        assert len(said) < 600
        assert "canary" not in said
        assert said.isprintable()
    beside = str(checkpoint.parent / "beside")
    assert [path for path in opened if path.startswith((beside, "/etc/passwd", "/dev/zero"))] == []
    assert not any(path.endswith((".bin", "environ")) for path in opened)


@pytest.mark.parametrize(("spoil", "words"), TOKENIZERS)
def test_a_tokenizer_is_tried_on_the_jobs_texts_within_a_deadline(
    spoil: Spoil, words: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer_trial, "DEADLINE_SECONDS", 2)
    monkeypatch.setattr(tokenizer_trial, "MEMORY_BYTES", 1 << 30)
    spoil(checkpoint)
    said = refusal(checkpoint)
    assert said is not None
    assert words in said
    assert said.isprintable()
    assert len(said) < 600


@pytest.mark.parametrize(("arguments", "words"), ARGUMENTS)
def test_an_argument_of_vllm_that_is_on_no_list_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ModelConfig(name="dock", engine="vllm", engine_args=arguments)
    said = refused.value.errors()[0]["msg"]
    assert words in said
    assert "canary" not in said


CLI = {
    "link": FILES[2],
    "fifo": FILES[9],
    "pickle": INDEXES[5],
    "header": HEADERS[1],
    "layers": CONFIGS[12],
    "torchao": CONFIGS[36],
    "bomb": TOKENIZERS[4],
    "argument": ARGUMENTS[2],
}


@pytest.mark.parametrize("case", CLI)
def test_probe_plan_and_run_refuse_alike_with_exit_code_2(
    case: str,
    checkpoint: Path,
    tmp_path: Path,
    make_video: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tokenizer_trial, "DEADLINE_SECONDS", 2)
    make_video(tmp_path / "film.mp4", seconds=1)
    what, words = CLI[case].values
    model: dict[str, Any] = {"name": str(checkpoint)}
    if case == "argument":
        model |= {"engine": "vllm", "engine_args": what}
    else:
        what(checkpoint)
    job = tmp_path / "job.yaml"
    values = {
        "input": {"videos": str(tmp_path / "film.mp4")},
        "questions": [{"id": "a", "text": "a" * 40, "type": "yes_no"}],
        "model": model,
        "output": {"uri": str(tmp_path / "index")},
    }
    job.write_text(yaml.safe_dump(values))
    told = [
        CliRunner().invoke(app, [*command, str(job)], env={"COLUMNS": "1000"})
        for command in (["plan"], ["run"], ["probe", str(tmp_path / "film.mp4"), "--job"])
    ]
    assert [result.exit_code for result in told] == [2, 2, 2], [result.output for result in told]
    assert words in told[0].stderr
    assert {result.stderr for result in told} == {told[0].stderr}
    assert len(told[0].stderr.strip().splitlines()) == 1
