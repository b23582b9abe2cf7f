"""Of each video of the nights that are compared, its shares: what they are made of is read once, and kept as tables.

What was done to a row, and not seen in its video, is no drift. One that thought for the audit sample alone has its
first answer as its answer. Whether the gate is unsure of a row is asked at the threshold of now. Where these nights
have treated rows to one question differently, all rows to it count by their first answers, which no gate has touched:
where they had other thresholds, where rows were deferred under a budget, or where some were deepened since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.pipelines.drift.classes import Classes, class_join, find_classes, texts_by_question, texts_sql
from framegate.pipelines.drift.nights import Compared
from framegate.pipelines.results.agreement import differs_sql
from framegate.pipelines.results.kept_rows import keep_rows, list_columns, quote_name
from framegate.pipelines.results.view_sql import text_literal
from framegate.pipelines.results.views import Views, select
from framegate.schemas.qa import Question
from framegate.schemas.tables import INPUT_PREFIX

SHARES: Final = "drift_shares"
"""One row for each question of each video of each night: `place` of the night, `think`, `below_0` and so on for each of
BOUNDS, `unreadable`, `audit`, each from 0 to 1 or null, and num_said, its answers that are in the mix."""

SAID: Final = "drift_said"
"""How many answers of a class these have: place, question_hash, video_id, class, num_rows."""

FAILED: Final = "drift_failed"
"""place, video_id, reason: failures of videos that no earlier run has met one at."""

TOUCHED: Final = "drift_touched"
"""place, video_id: those that a night came by, but for videos at which an earlier run has met a failure."""

BOUNDS: Final = (0.5, 0.8, 0.9, 0.97, 0.99)
"""Of confidences, the same for all questions: bounds that the answers themselves had chosen would not be fair."""

_POLICY: Final = """
    SELECT question_hash, max(threshold) FILTER (place = 0 AND deepened_at IS NULL) AS of_now,
        coalesce(min(threshold) <> max(threshold), false)
            OR bool_or(deepened_at IS NOT NULL OR gate_reason = 'deferred') AS by_first,
        min(audit_rate) FILTER (audit_rate > 0) AS least_rate
    FROM ({rows}) GROUP BY question_hash"""
_JUDGED: Final = """
    SELECT *, CASE WHEN by_first THEN answer_first_value ELSE answer END AS night_answer,
        CASE WHEN answer_type = 'number' THEN TRY_CAST(night_answer AS DOUBLE) END AS night_number,
        CASE WHEN by_first THEN answer_first_value IS NULL ELSE status <> 'answered' END AS is_unreadable
    FROM ({rows}) JOIN drift_policy USING (question_hash)"""
_SHARES: Final = """
    SELECT place, question_hash, video_id, {groups}
        avg(CASE WHEN of_now IS NOT NULL THEN coalesce(confidence_first < of_now, true)::INT END) AS think,
        {below},
        avg(is_unreadable::INT) AS unreadable,
        avg(CASE WHEN audit_rank < least_rate AND copied_from IS NULL THEN {differs}::INT END) AS audit,
        count(*) FILTER ({in_mix}) AS num_said
    FROM ({rows}) GROUP BY place, question_hash, video_id"""
_SAID: Final = """
    SELECT place, question_hash, video_id, class, count(*) AS num_rows
    FROM (SELECT place, question_hash, video_id, {class_number} AS class FROM ({rows}) {join} WHERE {in_mix})
    WHERE class IS NOT NULL GROUP BY ALL"""
_FAILED: Final = """
    SELECT DISTINCT {place} AS place, video_id, reason, {groups} true AS is_failure
    FROM failure_history LEFT JOIN drift_first_failed USING (video_id)
    WHERE config_id = {config_id} AND run_id IN ({run_ids}) AND {is_first}"""
_FIRST_FAILED: Final = """
    SELECT video_id, min(written_at) AS failed_at FROM failure_history WHERE config_id = {config_id}
    GROUP BY video_id"""
_TOUCHED: Final = """
    SELECT place, video_id, {groups} count(*) AS num_rows FROM (
        SELECT DISTINCT place, video_id, {names} true AS is_there FROM {shares}
        UNION ALL SELECT place, video_id, {names} true FROM {failed}
    ) LEFT JOIN drift_first_failed USING (video_id) WHERE {is_first} GROUP BY place, video_id"""


@dataclass(frozen=True, kw_only=True)
class VideoShares:
    """The kept tables. by: the manifest's columns that these have as `by_0`, `by_1`, without `input_`. missing: those
    that were asked for and are in no row. text_place: the night that texts were chosen in; None: none was."""

    views: Views
    by: tuple[str, ...]
    missing: tuple[str, ...]
    known_columns: tuple[str, ...]
    classes: Classes
    text_place: int | None

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a SELECT over the tables. Raises StorageError."""
        return select(self.views, sql).to_pylist()


def read_shares(
    views: Views,
    compared: Compared,
    questions: Sequence[Question],
    *,
    config_id: str,
    by: Sequence[str] | None,
    default_by: str,
) -> VideoShares:
    """Reads the rows of the compared nights, those of a few columns. Raises StorageError, VersionChanged where a file
    has changed meanwhile."""
    columns = list_columns(views, "answers")
    known = tuple(name.removeprefix(INPUT_PREFIX) for name in columns if name.startswith(INPUT_PREFIX))
    wanted = [default_by] if by is None else by
    there = tuple(name for name in wanted if name in known)
    rows = _Rows(views, compared, questions, config_id, there)
    text_place = len(compared.nights) - 1 if len(compared.nights) > 2 else None
    texts: dict[str, list[str]] = {}
    if text_place is not None and any(question.type == "text" for question in questions):
        found = select(views, texts_sql(f"SELECT * FROM ({rows.judged}) WHERE place = {text_place}"))
        texts = texts_by_question(found.to_pylist())
    classes = find_classes(questions, texts)
    rows.keep(classes, text_place)
    return VideoShares(
        views=views,
        by=there,
        missing=() if by is None else tuple(name for name in wanted if name not in known),
        known_columns=known,
        classes=classes,
        text_place=text_place,
    )


class _Rows:
    """The rows that the tables are made of, as SQL."""

    def __init__(
        self,
        views: Views,
        compared: Compared,
        questions: Iterable[Question],
        config_id: str,
        by: Sequence[str],
    ) -> None:
        self._views, self._compared, self._by = views, compared, by
        runs = compared.runs_by_place
        self._config_id = text_literal(config_id)
        self._run_ids = ", ".join(text_literal(run_id) for _, run_id in runs)
        cases = " ".join(f"WHEN {text_literal(run_id)} THEN {place}" for place, run_id in runs)
        self._place = f"CASE run_id {cases} END"
        hashes = ", ".join(text_literal(question.hash) for question in questions)
        self.sql = f"""
            SELECT {self._place} AS place, question_hash, answer_type, video_id, {self._inputs("answers")}
                confidence_first, threshold, thinking, deepened_at, audit_rank, audit_rate, copied_from, answer,
                answer_first_value, answer_second_value, answer_second, gate_reason, status
            FROM answers
            WHERE config_id = {self._config_id} AND run_id IN ({self._run_ids}) AND question_hash IN ({hashes})"""
        self.judged = _JUDGED.format(rows=self.sql)
        keep_rows(views, "drift_policy", _POLICY.format(rows=self.sql))

    def keep(self, classes: Classes, text_place: int | None) -> None:
        """Makes the tables."""
        groups = "".join(f"any_value({name}) AS {name}, " for name in self._names)
        below = ", ".join(
            f"avg(coalesce(confidence_first < {bound}, true)::INT) AS below_{place}"
            for place, bound in enumerate(BOUNDS)
        )
        in_mix = _in_mix(text_place)
        shares = _SHARES.format(rows=self.judged, groups=groups, below=below, differs=differs_sql(), in_mix=in_mix)
        keep_rows(self._views, SHARES, shares)
        join, class_number = class_join(classes, "night_answer", "night_number")
        said = _SAID.format(rows=self.judged, join=join, class_number=class_number, in_mix=in_mix)
        keep_rows(self._views, SAID, said)
        self._keep_failures(groups)

    def _keep_failures(self, groups: str) -> None:
        keep_rows(self._views, "drift_first_failed", _FIRST_FAILED.format(config_id=self._config_id))
        failed = _FAILED.format(
            place=self._place,
            groups=self._inputs("failure_history"),
            config_id=self._config_id,
            run_ids=self._run_ids,
            is_first=self._is_first(self._place),
        )
        keep_rows(self._views, FAILED, failed)
        names = "".join(f"{name}, " for name in self._names)
        touched = _TOUCHED.format(
            groups=groups, names=names, shares=SHARES, failed=FAILED, is_first=self._is_first("place")
        )
        keep_rows(self._views, TOUCHED, touched)

    @property
    def _names(self) -> list[str]:
        return [f"by_{number}" for number in range(len(self._by))]

    def _inputs(self, view: str) -> str:
        """The columns of the manifest as texts, each with a comma behind it; null where a view lacks one."""
        there = list_columns(self._views, view)
        listed = [
            f"{quote_name(INPUT_PREFIX + name)}::VARCHAR" if INPUT_PREFIX + name in there else "NULL::VARCHAR"
            for name in self._by
        ]
        return "".join(f"{value} AS {name}, " for value, name in zip(listed, self._names, strict=True))

    def _is_first(self, place: str) -> str:
        """SQL of whether no run before the night of a row has met a failure at its video."""
        began = self._began()
        cases = " ".join(f"WHEN {number} THEN {text_literal(time)}::TIMESTAMPTZ" for number, time in began.items())
        return f"coalesce(failed_at >= CASE {place} {cases} END, true)" if began else "true"

    def _began(self) -> Mapping[int, str]:
        known = {place: self._compared.began(place) for place in range(len(self._compared.nights))}
        return {place: time.isoformat() for place, time in known.items() if time is not None}


def _in_mix(text_place: int | None) -> str:
    is_chosen_by = "false" if text_place is None else f"(answer_type = 'text' AND place = {text_place})"
    return f"night_answer IS NOT NULL AND answer_type <> 'span' AND NOT {is_chosen_by}"
