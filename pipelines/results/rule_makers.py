"""The views of composite events on an output: what their rules name is held against what is there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from framegate.pipelines.results.rule_sql import rule_views
from framegate.pipelines.results.view_makers import Maker, Making
from framegate.pipelines.results.view_sql import text_literal
from framegate.schemas.errors import ConfigError
from framegate.schemas.rules import EventRule, Rules

_KEYWORDS = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
_WORDS = {"yes_no": ("yes", "no"), "span": ("span",)}


def rule_makers(rules: Rules) -> dict[str, Maker]:
    """A maker for each event. The first that is called makes all of them."""
    made: list[bool] = []

    def make(making: Making) -> None:
        if not made:
            _check(making, rules)
            for name, sql in rule_views(rules, making.records.time_zone):
                making.opened.connection.execute(f"CREATE TEMP VIEW {name} AS {sql}")
            made.append(True)

    return {name: Maker(needs=("current",), make=make) for name in rules.order}


def _check(making: Making, rules: Rules) -> None:
    """Raises ConfigError where a rule names a column, a question or an answer that is not there."""
    opened = making.opened
    reserved = {word for (word,) in opened.connection.execute(_KEYWORDS).fetchall()} & rules.events.keys()
    if reserved:
        word = min(reserved)
        raise ConfigError(f"the event {word} is a word of SQL; give it another name, such as {word}_event")
    columns = opened.columns("current")
    if rules.camera is not None and rules.camera not in columns:
        inputs = [name for name in columns if name.startswith("input_")]
        raise ConfigError(f"camera: there is no column {_nearest(rules.camera, inputs)}")
    for name, rule in rules.events.items():
        if rule.question is not None:
            _check_question(making, f"events.{name}", rule, rule.question)


def _check_question(making: Making, where: str, rule: EventRule, question: str) -> None:
    types = making.question_types
    if question not in types:
        raise ConfigError(f"{where}: no answers are stored to a question {_nearest(question, types)}")
    if rule.answer is None:
        if types[question] != "number":
            raise ConfigError(
                f"{where}: at_least and at_most are for numbers; answers to '{question}' are of type {types[question]}"
            )
        return
    options = _options(making, question) if types[question] == "choice" else _WORDS.get(types[question], ())
    for answer in rule.answer:
        if options and answer not in options:
            raise ConfigError(f"{where}: '{question}' has no answer {_nearest(answer, options)}")


def _options(making: Making, question: str) -> tuple[str, ...]:
    """The options of a choice question; none where no row has them, as in outputs of earlier versions."""
    [hash] = [hash for hash, name in making.current.asked.names.items() if name == question]
    sql = f"""
        SELECT question_options FROM answers
        WHERE question_hash = {text_literal(hash)} AND question_options IS NOT NULL LIMIT 1"""
    found = making.opened.connection.execute(sql).fetchone()
    return () if found is None else tuple(found[0])


def _nearest(name: str, known: Iterable[str]) -> str:
    known = [*known]
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listed = f"there are {', '.join(sorted(known)) or 'none'}"
    return f"'{name}'; " + (f"did you mean '{nearest[0]}'?" if nearest else listed)
