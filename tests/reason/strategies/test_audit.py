"""Rows of the audit sample think though they could exit, and answer as if they had exited."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import ClipFrames, FinishedAsk, Token
from framegate.schemas.audit_sample import AuditSample
from framegate.schemas.clip import FrameBatch
from framegate.schemas.qa import Answer, Question

QUESTION = Question(id="q", text="Did it?", type="yes_no")
FRAMES = FrameBatch(frames_THWC=np.zeros((1, 2, 2, 3), np.uint8), pts_seconds=np.zeros(1), duration_seconds=4.0)
CLIP = ClipFrames(id="unit-1/0", frames=FRAMES, start_seconds=0.0, key="00000000000000aa/0")
ALL = AuditSample(rate=1.0)
NOBODY = AuditSample(rate=0.0)
SURE, UNSURE = math.log(0.99), math.log(0.5)


def gated(audit: AuditSample | None, threshold: float = 0.9) -> Gated:
    return Gated(threshold=threshold, audit=audit, max_answer_tokens=6, max_thinking_tokens=8)


def answer(
    strategy: Gated, first: str, logprob: float, second: str = "no", *, clip: ClipFrames = CLIP, **of_question: object
) -> Answer:
    """What comes of a model that writes `first`, thinks one token if it may, and writes `second`."""
    (ask,) = strategy.begin(clip, replace(QUESTION, **of_question))
    course = ask.make_course()
    course.start({FORCED_CLOSING: [9]})
    written = [
        ("\\boxed{", 0.0),
        (first, logprob),
        ("}", 0.0),
        ("hm", 0.0),
        ("\\boxed{", 0.0),
        (second, SURE),
        ("}", 0),
    ]
    for number, (text, value) in enumerate(written):
        if not course.is_over:
            course.append(Token(number, text.encode(), value))
    made = strategy.after([FinishedAsk(ask=ask, course=course)], num_open=0)
    assert isinstance(made, Answer)
    return made


def test_an_audited_row_thinks_and_keeps_its_first_answer() -> None:
    row = answer(gated(ALL), "yes", SURE)
    assert (row.verdict.route, row.verdict.reason, row.thinking) == ("think", "audit", True)
    assert (row.answer, row.answer_bool, row.answer_first_value, row.answer_second_value) == ("yes", True, "yes", "no")
    assert (row.status, row.threshold, row.audit_rate) == ("answered", 0.9, 1.0)
    assert row.audit_rank == ALL.rank(CLIP.key, QUESTION.hash)


def test_it_differs_from_an_exit_in_what_was_found_out_alone() -> None:
    audited, exited = answer(gated(ALL), "yes", SURE), answer(gated(NOBODY), "yes", SURE)
    assert (exited.verdict.reason, exited.audit_rank, exited.audit_rate) == ("confident", None, 0.0)
    same = ("answer", "answer_bool", "answer_first", "answer_first_value", "confidence_first", "status", "threshold")
    assert [getattr(audited, name) for name in same] == [getattr(exited, name) for name in same]


def test_an_unsure_row_of_the_sample_thinks_as_ever() -> None:
    row = answer(gated(ALL), "yes", UNSURE)
    assert (row.verdict.reason, row.answer, row.answer_second_value) == ("unsure", "no", "no")
    assert row.audit_rank is not None, "it belongs to the sample, whatever the gate said"


def test_a_first_answer_that_cannot_be_read_stays_unread_as_at_an_exit() -> None:
    for audit in (ALL, NOBODY):
        row = answer(gated(audit), "perhaps", SURE)
        assert (row.answer, row.status) == (None, "unparsed")
    assert answer(gated(ALL), "perhaps", SURE).answer_second_value == "no"


@pytest.mark.parametrize("think", ["never", "always"])
def test_what_the_gate_does_not_decide_is_not_audited(think: str) -> None:
    row = answer(gated(ALL), "yes", SURE, think=think)
    assert (row.verdict.reason, row.audit_rank, row.audit_rate, row.threshold) == (think, None, None, None)


def test_a_clip_of_no_archive_is_not_audited() -> None:
    assert answer(gated(ALL), "yes", SURE, clip=replace(CLIP, key="")).verdict.reason == "confident"


def test_a_question_may_have_a_threshold_of_its_own() -> None:
    strategy = gated(None, threshold=0.999)
    assert answer(strategy, "yes", SURE).verdict.reason == "unsure"
    row = answer(strategy, "yes", SURE, threshold=0.95)
    assert (row.verdict.reason, row.threshold) == ("confident", 0.95)
    assert answer(strategy, "yes", SURE, threshold=0.0).verdict.reason == "confident"


def test_neither_the_sample_nor_a_threshold_is_part_of_the_document() -> None:
    assert gated(ALL).document() == gated(None, threshold=0.1).document()
    assert replace(QUESTION, threshold=0.5).hash == QUESTION.hash
