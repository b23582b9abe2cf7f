"""Jobs and questions in the pages are read by the product's own reader; docs/use.md has every key of a job."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from framegate.schemas.config import RunConfig
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import parse_job, parse_questions
from framegate.schemas.qa import ANSWER_TYPES, Question, ThinkPolicy
from tests.docs.pages import PAGES, ROOT, code_blocks, rows, section

USE = PAGES["docs/use.md"]
QUESTIONS = [{"id": "q", "text": "?"}]
MINIMAL: dict[str, Any] = {
    "input": {"videos": "videos/"},
    "questions": QUESTIONS,
    "model": {"name": "dock"},
    "output": {"uri": "index"},
}
REQUIRED_PARTS = set(MINIMAL)


def yaml_blocks(page: str, begins: str) -> list[Any]:
    return [yaml.safe_load(block) for block in code_blocks(page) if re.match(begins, block)]


JOBS = [(page, job) for page, content in PAGES.items() for job in yaml_blocks(content, "input:")]
PARTS = [(page, part) for page, content in PAGES.items() for part in yaml_blocks(content, r"(?!input)[a-z]+: +\{")]
INLINE = [
    (page, yaml.safe_load(text))
    for page, content in PAGES.items()
    for text in re.findall(r"`([a-z]+: \{[^`]+\})`", content)
]
BANKS = [(page, bank) for page, content in PAGES.items() for bank in yaml_blocks(content, "- {id:")]


@pytest.mark.parametrize(("page", "job"), JOBS)
def test_each_job_is_accepted(page: str, job: dict[str, Any]) -> None:
    parse_job({**job, "questions": QUESTIONS})


@pytest.mark.parametrize(("page", "part"), [*PARTS, *INLINE])
def test_each_part_of_a_job_is_accepted(page: str, part: dict[str, Any]) -> None:
    parse_job({**MINIMAL, **part})


@pytest.mark.parametrize(("page", "bank"), BANKS)
def test_each_question_bank_is_accepted(page: str, bank: list[dict[str, Any]]) -> None:
    parse_questions(bank)


def test_readme_shows_a_job_of_the_required_keys() -> None:
    [job] = [job for page, job in JOBS if page == "README.md"]
    assert set(job) == REQUIRED_PARTS
    for key in job:
        with pytest.raises(ConfigError):
            parse_job({name: value for name, value in job.items() if name != key})


def parts_of(annotation: Any) -> set[type[BaseModel]]:
    """The models that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return set().union(*map(parts_of, get_args(annotation)))


def keys_of(model: type[BaseModel], values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every key of a job with its default: the one of a minimal job, where that has the key."""
    for name, field in model.model_fields.items():
        here = (*path, name)
        there = getattr(values, name, None) if values is not None else None
        if parts := parts_of(field.annotation):
            for part in parts:
                yield from keys_of(part, there if isinstance(there, part) else None, here)
        elif field.is_required():
            yield ".".join(here), "required"
        else:
            default = field.get_default(call_default_factory=True) if values is None else there
            yield ".".join(here), default


def shown(default: Any) -> str:
    if default is None or default == ():
        return "none"
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_every_key_of_a_job_is_in_use_with_its_default() -> None:
    config = parse_job(MINIMAL).config
    expected: dict[str, set[str]] = {}
    for key, default in keys_of(RunConfig, config):
        expected.setdefault(key, set()).add(shown(default))
    assert expected.pop("questions") == {"required"}
    assert expected.pop("adopt") == {"none"}
    assert "\nadopt: " in USE
    told = {row[0]: row[1] for row in rows(USE) if re.fullmatch(r"[a-z]+(\.[a-z_]+)+", row[0])}
    assert set(told) == set(expected)
    for key, default in told.items():
        assert default in expected[key] or _number(default) in map(_number, expected[key]), key


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def test_the_keys_and_types_of_questions_are_in_use() -> None:
    keys, types = section(USE, "Questions").split("| type | accepted from the model")
    assert {row[0]: row[1] for row in rows(keys)} == {
        field.name: "required" if field.default is MISSING else shown(field.default) for field in fields(Question)
    }
    assert [row[0] for row in rows(types)] == list(ANSWER_TYPES)
    [think] = [row[2] for row in rows(keys) if row[0] == "think"]
    assert set(get_args(ThinkPolicy)) == set(re.findall(r"`(\w+)`", think))


def test_the_strategies_are_in_use() -> None:
    [parts] = [parts_of(field.annotation) for name, field in RunConfig.model_fields.items() if name == "gate"]
    strategies = {name for part in parts for name in get_args(part.model_fields["strategy"].annotation)}
    _, table, reasons = re.split(r"\| strategy \||\| `gate_reason` \|", section(USE, "Strategies and the gate"))
    assert {row[0] for row in rows(table)} == strategies
    files = [*(ROOT / "pipelines" / "reason" / "strategies").glob("*.py"), ROOT / "schemas" / "gate_reason.py"]
    sources = "".join(path.read_text() for path in files)
    for row in rows(reasons):
        assert f'"{row[0]}"' in sources
