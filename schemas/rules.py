"""rules.yaml: events that are made of answers, and of other events.

    camera: input_dock
    events:
      black:     {question: black_seen, answer: yes}
      crowded:   {question: people, at_least: 5}
      blocked:   {event: black, while: crowded}
      left:      {event: black, without: crowded}
      cleared:   {event: crowded, followed_by: black, within_seconds: 60}
      all_docks: {event: black, at_least_cameras: 3}

An event may rest on others, in no circle. It holds in one place: in one `video` (the default), on one `camera`, or
over `all` of them; the last two need the wall clock of clips.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from framegate.schemas.config.part import Part
from framegate.schemas.errors import ConfigError
from framegate.schemas.plain_yaml import read_yaml

Place = Literal["video", "camera", "all"]
PLACES: Final[tuple[Place, ...]] = ("video", "camera", "all")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_JOINS: Final = ("while", "without", "followed_by", "at_least_cameras")
_ANSWERS: Final = ("answer", "at_least", "at_most")
_WORDS: Final = {True: "yes", False: "no"}


class EventRule(Part):
    """One event. Of answers: `question` and what was answered. Of events: `event` and one of `_JOINS`."""

    question: str | None = Field(default=None, description="id of the question whose answers make it")
    answer: tuple[str, ...] | None = Field(
        default=None, description="the answer, or several; `span` for the intervals of a question of type span"
    )
    at_least: float | None = Field(default=None, description="of a number: this, or more")
    at_most: float | None = Field(default=None, description="of a number: this, or less")
    max_gap_seconds: float | None = Field(default=None, ge=0, description="gaps up to that are bridged")
    event: str | None = Field(default=None, description="the event that it rests on")
    while_: str | None = Field(default=None, alias="while", description="and this one, at the same time")
    without: str | None = Field(default=None, description="and not this one, at the same time")
    followed_by: str | None = Field(default=None, description="and this one begins later")
    within_seconds: float | None = Field(
        default=None, ge=0, description="for followed_by: at most so long after the end of the first"
    )
    at_least_cameras: int | None = Field(default=None, ge=1, description="on so many cameras at once")
    per: Place | None = Field(default=None, description="where it holds: in one video, on one camera, or over all")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        """As in `Part`, with `while` by the name that it has in the file."""
        known = [field.alias or name for name, field in cls.model_fields.items()]
        if isinstance(values, dict):
            for key in values:
                if key not in known:
                    raise PydanticCustomError("unknown_key", "{text}", {"text": _unknown("key", str(key), known)})
        return values

    @field_validator("answer", mode="before")
    @classmethod
    def _as_texts(cls, value: Any) -> Any:
        """YAML reads a bare yes, no or 3 as something else than text."""
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(_WORDS[each] if isinstance(each, bool) else _text(each) for each in values)

    @model_validator(mode="after")
    def _is_one_kind(self) -> EventRule:
        given = self.given
        joins, answers = given & {*_JOINS}, given & {*_ANSWERS}
        if ("question" in given) == ("event" in given):
            raise ValueError("give question for an event of answers, or event for one of events, and not both")
        if "question" in given:
            if extra := given - {"question", *_ANSWERS, "max_gap_seconds", "per"}:
                raise ValueError(f"{', '.join(sorted(extra))} is for events that rest on others, by event")
            if not answers or ("answer" in given and len(answers) > 1):
                raise ValueError("say what was answered: answer, or at_least and at_most for a number")
        else:
            if extra := given & {*_ANSWERS, "max_gap_seconds"}:
                raise ValueError(f"{', '.join(sorted(extra))} is for events of answers, by question")
            if len(joins) != 1:
                raise ValueError(f"give exactly one of {', '.join(_JOINS)}, got {', '.join(sorted(joins)) or 'none'}")
        if ("followed_by" in given) != ("within_seconds" in given):
            raise ValueError("followed_by and within_seconds belong together")
        return self

    @property
    def given(self) -> set[str]:
        """The keys that are there, by their names in the file."""
        fields = type(self).model_fields
        return {field.alias or name for name, field in fields.items() if getattr(self, name) is not None}

    @property
    def rests_on(self) -> tuple[str, ...]:
        """The events that it is made of."""
        return tuple(name for name in (self.event, self.while_, self.without, self.followed_by) if name is not None)


class Rules(Part):
    """All of rules.yaml."""

    camera: str | None = Field(default=None, description="the column that tells cameras apart, such as input_camera")
    max_gap_seconds: float = Field(default=0.0, ge=0, description="gaps that events of answers bridge")
    events: dict[str, EventRule] = Field(min_length=1, description="by name; each becomes a view")

    @property
    def order(self) -> tuple[str, ...]:
        """The names, each behind those that it rests on."""
        return tuple(TopologicalSorter({name: rule.rests_on for name, rule in self.events.items()}).static_order())

    def place(self, name: str) -> Place:
        """Where an event holds: what its rule says, else what those that it rests on need."""
        rule = self.events[name]
        return rule.per or PLACES[self.least_place(name)]

    def least_place(self, name: str) -> int:
        """The narrowest place, as an index into PLACES, in which it can hold."""
        rule = self.events[name]
        own = PLACES.index("all") if rule.at_least_cameras is not None else 0
        return max([own, *(PLACES.index(self.place(other)) for other in rule.rests_on)])


def load_rules(path: str | Path, *, taken: frozenset[str] = frozenset()) -> Rules:
    """Reads rules.yaml. `taken`: names that no event can have. Raises ConfigError."""
    path = Path(path)
    values = read_yaml(path, "the rules file")
    return parse_rules(values, origin=path.name, taken=taken)


def parse_rules(values: object, *, origin: str = "the rules", taken: frozenset[str] = frozenset()) -> Rules:
    """The same from what YAML holds. `origin` is what errors call it. Raises ConfigError."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{origin} must be a mapping with events, got {type(values).__name__}")
    try:
        rules = Rules.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{origin}: {_explain(error)}") from None
    _check_names(rules, origin, taken)
    _check_circles(rules, origin)
    _check_places(rules, origin)
    return rules


def _check_names(rules: Rules, origin: str, taken: frozenset[str]) -> None:
    for name, rule in rules.events.items():
        if not _NAME.fullmatch(name) or "__" in name:
            raise ConfigError(
                f"{origin}: the event {name!r} cannot be called so: a name has small letters, digits and single _, and"
                " begins with a letter"
            )
        if name in taken:
            raise ConfigError(f"{origin}: there is a view {name} already; give the event another name")
        for other in rule.rests_on:
            if other not in rules.events:
                raise ConfigError(f"{origin}: events.{name}: {_unknown('event', other, [*rules.events])}")


def _check_circles(rules: Rules, origin: str) -> None:
    try:
        rules.order  # noqa: B018 - raises
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise ConfigError(f"{origin}: events rest on each other in a circle: {circle}; take one step out") from None


def _check_places(rules: Rules, origin: str) -> None:
    for name in rules.order:
        rule, least = rules.events[name], rules.least_place(name)
        if rule.per is not None and PLACES.index(rule.per) < least:
            wanted = " or ".join(PLACES[least:])
            raise ConfigError(
                f"{origin}: events.{name}: per is {rule.per}, but what it rests on goes beyond one {rule.per}; it can"
                f" hold per {wanted}"
            )
        if rules.camera is None and (rule.at_least_cameras is not None or rules.place(name) == "camera"):
            raise ConfigError(
                f"{origin}: events.{name} is about cameras: say which column tells them apart, such as camera:"
                " input_camera"
            )


def _explain(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "unknown_key":
        context = problem.get("ctx", {})
        text = context.get("text") or _unknown("key", context["key"], [*Rules.model_fields])
        return f"{where}: {text}" if where else text
    if problem["type"] == "missing":
        return f"{where} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    got = "" if problem["type"] == "value_error" else f", got {problem['input']!r}"
    return f"{where}: {message[:1].lower()}{message[1:]}{got}"


def _unknown(what: str, name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"unknown {what} '{name}'; " + (f"did you mean '{nearest[0]}'?" if nearest else f"known: {', '.join(known)}")


def _text(value: object) -> str:
    """A number as an answer has it: 3, not 3.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
