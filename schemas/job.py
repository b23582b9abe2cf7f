"""Reads a job file, its question bank and its prompt file into a Job; every mistake is one sentence that names the key.

Only these local files are read: whether videos, model and bucket exist is found out later.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from framegate.schemas.config import RunConfig
from framegate.schemas.config.gate import STRATEGY_NAMES, THRESHOLD_KINDS
from framegate.schemas.config.pruning import PRUNE_METHODS
from framegate.schemas.errors import ConfigError
from framegate.schemas.escape import escape
from framegate.schemas.plain_yaml import read_text, read_yaml
from framegate.schemas.qa import ANSWER_TYPES, OPTION_LETTERS, Question
from framegate.schemas.twins import find_twins, fold, tell_twins
from framegate.schemas.uris import holds_password, public

_SECRET_KEY = re.compile(
    r"(^|_)(key|secret|token|password|passwd|passphrase|credentials?|sas|connection_string)(_id)?$", re.IGNORECASE
)
_OPTIONS = ("input.storage_options", "output.storage_options")  # these have a list of what may be in them
_QUESTION_KEYS = tuple(field.name for field in fields(Question))
_SHOWN_CHARACTERS = 80
_MESSAGE_CHARACTERS = 800
_THINK_POLICIES = ("auto", "never", "always")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job file with its questions, read and checked. `name` is the file's, without its folder."""

    config: RunConfig
    questions: tuple[Question, ...]
    name: str = "the job"


def load_job(path: str | Path) -> Job:
    """Reads a YAML job file; relative paths in it count from its folder. Raises ConfigError."""
    path = Path(path)
    return parse_job(read_yaml(path, "the job file"), folder=path.parent, origin=path.name)


def parse_job(values: object, *, folder: str | Path = ".", origin: str = "the job") -> Job:
    """The same from a mapping. `folder` is where relative paths count from, `origin` what errors call the job."""
    folder = Path(folder).resolve()
    if not isinstance(values, Mapping):
        raise ConfigError(f"{origin} must be a mapping with input, questions, model and output, got {_kind(values)}")
    _refuse_secrets(values, origin, "")
    try:
        config = RunConfig.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(_explain(error, origin)) from None
    listed = config.questions
    if isinstance(listed, str):
        file = folder / listed
        questions = parse_questions(read_yaml(file, "the question file"), origin=file.name)
    else:
        questions = parse_questions(listed, origin=origin)
    return Job(config=_resolve(config, folder), questions=questions, name=origin)


def parse_questions(values: object, *, origin: str = "the question bank") -> tuple[Question, ...]:
    """A list of mappings (or a mapping with the one key `questions`) as Questions. Raises ConfigError."""
    if isinstance(values, Mapping) and set(values) == {"questions"}:
        values = values["questions"]
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ConfigError(f"{origin} must hold a list of questions, got {_kind(values)}")
    if not values:
        raise ConfigError(f"{origin} holds no question; give at least one with id and text")
    questions = tuple(_parse_question(value, f"{origin}: question {n}") for n, value in enumerate(values, start=1))
    ids: set[str] = set()
    by_wording: dict[tuple[str, ...], str] = {}
    for question in questions:
        if question.id in ids:
            raise ConfigError(f"{origin}: the id '{_name(question.id)}' stands twice; ids must differ")
        wording = (fold(question.text), question.type, *map(fold, question.options))
        first = by_wording.setdefault(wording, question.id)
        if first != question.id:
            shown = f"'{_name(first)}' and '{_name(question.id)}'"
            raise ConfigError(f"{origin}: {shown} ask the same; keep one of them")
        ids.add(question.id)
    if (twins := find_twins(ids_in_order := [question.id for question in questions])) is not None:
        places = " and ".join(str(ids_in_order.index(id) + 1) for id in twins)
        raise ConfigError(f"{origin}: the ids {tell_twins(*twins)}; rename one of questions {places}")
    return questions


def _parse_question(value: object, origin: str) -> Question:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{origin} must be a mapping with id and text, got {_kind(value)}")
    for key in value:
        if key not in _QUESTION_KEYS:
            raise ConfigError(f"{origin}: unknown key '{_name(key)}'; {_nearest(str(key), _QUESTION_KEYS)}")
    id, text = value.get("id"), value.get("text")
    if not isinstance(id, str) or not fold(id):
        raise ConfigError(f"{origin}: id must be a word in quotes or letters, got {_shown(id)}")
    origin = f"{origin} ({_shown(id)})"
    if not isinstance(text, str) or not fold(text):
        raise ConfigError(f"{origin}: text must be the question's words, got {_shown(text)}")
    answer_type = value.get("type", "text")
    if answer_type not in ANSWER_TYPES:
        raise ConfigError(f"{origin}: type must be one of {', '.join(ANSWER_TYPES)}, got {_shown(answer_type)}")
    think = value.get("think", "auto")
    if think not in _THINK_POLICIES:
        raise ConfigError(f"{origin}: think must be one of {', '.join(_THINK_POLICIES)}, got {_shown(think)}")
    threshold = _parse_threshold(value.get("threshold"), think, origin)
    options = _parse_options(value.get("options") or (), answer_type, origin)
    return Question(id=id, text=text.strip(), type=answer_type, options=options, think=think, threshold=threshold)


def _parse_threshold(threshold: object, think: str, origin: str) -> float | None:
    if threshold is None:
        return None
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise ConfigError(f"{origin}: threshold must be a number from 0 to 1, got {_shown(threshold)}")
    if think != "auto":
        raise ConfigError(f"{origin}: threshold has no effect beside think: {think}; leave one of them out")
    return float(threshold)


def _parse_options(options: object, answer_type: str, origin: str) -> tuple[str, ...]:
    if not isinstance(options, Sequence) or isinstance(options, str):
        raise ConfigError(f"{origin}: options must be a list of texts, got {_kind(options)}")
    if answer_type != "choice":
        if options:
            raise ConfigError(f"{origin}: options belong to type choice alone, and this is {answer_type}")
        return ()
    if not 2 <= len(options) <= len(OPTION_LETTERS):
        raise ConfigError(f"{origin}: a choice needs 2 to {len(OPTION_LETTERS)} options, got {len(options)}")
    for option in options:
        if not isinstance(option, str) or not fold(option):
            # YAML reads bare yes, no and 3 as something else than text.
            raise ConfigError(f"{origin}: an option must be text, got {_shown(option)}; put it in quotes")
    if len(set(options)) != len(options):
        raise ConfigError(f"{origin}: two options are the same; each must differ")
    if (twins := find_twins(options)) is not None:
        raise ConfigError(f"{origin}: the options {tell_twins(*twins)}; each must differ")
    return tuple(options)


def _refuse_secrets(value: object, origin: str, path: str) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            inner_path = f"{path}.{_name(key)}" if path else _name(key)
            if path not in _OPTIONS and _SECRET_KEY.search(str(key)):
                raise ConfigError(
                    f"{origin}: {_name(inner_path)} looks like a credential, and a job file is no place for one;"
                    " give it through the environment (such as AWS_ACCESS_KEY_ID) or the machine's role"
                )
            if inner_path != "questions":
                _refuse_secrets(inner, origin, inner_path)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for n, inner in enumerate(value):
            _refuse_secrets(inner, origin, f"{path}[{n}]")
    elif isinstance(value, str) and holds_password(value):
        raise ConfigError(
            f"{origin}: {_name(path)} holds a password inside its URI; take it out and use the environment"
        )


def _explain(error: ValidationError, origin: str) -> str:
    """The first problem as one sentence that names the key by its full path."""
    problem = error.errors(include_url=False)[0]
    # The branches of a union are in the location too: names of types and of strategies, which are not keys.
    types = ("constrained-", "tuple[", "list[")
    branches = ("str", *STRATEGY_NAMES, *THRESHOLD_KINDS, *PRUNE_METHODS)
    place = [str(part) for part in problem["loc"] if part not in branches and not str(part).startswith(types)]
    if problem["type"] == "unknown_key":
        context = problem.get("ctx", {})
        key = ".".join([*place, _name(context["key"])])
        nearest = context["nearest"]
        hint = f"did you mean {'.'.join([*place, nearest])}?" if nearest else context["hint"]
        return f"{origin}: {key} is not a known key; {hint}"
    where = ".".join(place) or "the job"
    if problem["type"] == "missing":
        return f"{origin}: {where} is missing"
    if problem["type"] == "union_tag_invalid":
        expected = " or ".join(problem.get("ctx", {})["expected_tags"].rsplit(", ", 1))
        key = problem.get("ctx", {})["discriminator"].strip("'")
        return f"{origin}: {where}.{key}: input should be {expected}, got {_shown(problem['input'][key])}"
    if problem["type"] == "union_tag_not_found":
        key = problem.get("ctx", {})["discriminator"].strip("'")
        return f"{origin}: {where}.{key} is missing"
    if problem["type"] in ("model_attributes_type", "model_type", "dict_type"):
        return f"{origin}: {where} must be a mapping, got {_kind(problem['input'])}"
    message = problem["msg"].removeprefix("Value error, ")
    message = escape(message[:1].lower() + message[1:_MESSAGE_CHARACTERS])
    has_value = problem["type"] != "value_error" and "storage_options" not in problem["loc"]
    got = f", got {_shown(problem['input'])}" if has_value else ""
    return f"{origin}: {where}: {message}{got}"


def _resolve(config: RunConfig, folder: Path) -> RunConfig:
    """Paths made absolute and the prompt's file read."""
    videos = config.input.videos
    videos = _absolute(videos, folder) if isinstance(videos, str) else tuple(_absolute(v, folder) for v in videos)
    prompt = config.prompt
    if prompt.system_file is not None:
        file = folder / prompt.system_file
        prompt = prompt.model_copy(update={"system": read_text(file, "the prompt file"), "system_file": None})
    roots = config.input.roots and tuple(_absolute(root, folder) for root in config.input.roots)
    name = config.model.name
    if name.startswith((".", "~", "/")) or (folder / name).is_dir():
        name = _absolute(name, folder)
    return config.model_copy(
        update={
            "input": config.input.model_copy(update={"videos": videos, "roots": roots}),
            "output": config.output.model_copy(update={"uri": _absolute(config.output.uri, folder)}),
            "model": config.model.model_copy(update={"name": name}),
            "prompt": prompt,
        }
    )


def _absolute(uri: str, folder: Path) -> str:
    if "://" in uri:
        return uri
    is_home = uri == "~" or uri.startswith("~/")  # not `~clip.mp4`, which is the name of a file
    absolute = os.path.normpath(folder / (Path(uri).expanduser() if is_home else uri))
    return absolute + "/" if uri.endswith("/") else absolute


def _nearest(key: str, known: Sequence[str]) -> str:
    match = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"did you mean '{match[0]}'?" if match else f"known: {', '.join(known)}"


def _shown(value: Any) -> str:
    """A wrong value as an error may repeat it: short, printable, and without the query of a URL."""
    if isinstance(value, str):
        value = public(value)
    elif not isinstance(value, bool | int | float | None):
        return _kind(value)
    shown = repr(value)
    return escape(shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…")


def _name(key: object) -> str:
    """A key likewise."""
    shown = str(key)
    return escape(shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…")


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
