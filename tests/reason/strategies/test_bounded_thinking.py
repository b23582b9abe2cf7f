"""Bounded thinking among all that belongs to a job: other questions, audits, thresholds and what is deferred."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from framegate.pipelines.reason.engines.scripted import FIRST_ID, Script
from framegate.pipelines.reason.strategies.bounded_thinking import BoundedThinking
from framegate.pipelines.reason.strategies.build import make_deepened, make_strategy
from framegate.pipelines.reason.strategies.protocol import Ask, FinishedAsk
from framegate.schemas.audit_sample import AuditSample
from framegate.schemas.config.gate import BoundedThinkingConfig
from framegate.schemas.deepening import GivenAnswer
from framegate.schemas.errors import FirstAnswerDiffers
from framegate.schemas.job import parse_job
from framegate.schemas.qa import Answer
from tests.asking import YES_NO, answer_all, ask_about, boxed, make_clip
from tests.reason.strategies.chunk_course import FIRST, bounded, tokens_of

UNSURE = [("\\boxed{", 0.0), ("yes", -0.5), ("}", 0.0)]


def script_of(written: Sequence[Any], *, num_answer: int, chunk: int) -> Script:
    """The scripted engine's text of each chunk."""

    def script(ask: Ask) -> Sequence[Any]:
        number = int(ask.label.removeprefix("chunk ")) if ask.label else 1
        return written[num_answer + (number - 1) * chunk if number > 1 else 0 :]

    return script


LONG = [*UNSURE, ("<think>", -0.1), *[(letter, -0.1) for letter in "abcdef"], ("</think>", -0.1), *boxed("no", -0.2)]


def test_questions_go_on_from_chunk_to_chunk_side_by_side() -> None:
    sure = replace(YES_NO, id="sure", text="Surely it?")
    script = script_of(LONG, num_answer=3, chunk=4)
    found, engine = answer_all(
        bounded(),
        ask_about("a", YES_NO, sure),
        script=lambda ask: boxed("yes") if ask.question == sure else script(ask),
    )
    answer, other = found["a", "q"].answer, found["a", "sure"].answer
    assert answer is not None
    assert other is not None
    assert (answer.answer, answer.thinking_text, answer.num_chunks) == ("no", "abcdef", 3)
    assert (answer.num_answer_tokens, answer.num_thinking_tokens) == (3, 11)
    assert answer.num_prompt_tokens == other.num_prompt_tokens, "what is carried over is not of the question's prompt"
    assert (other.thinking, other.num_chunks, other.verdict.reason) == (False, None, "confident")
    assert engine.num_asks == 3 + 1
    assert engine.num_tokens == 3 + 11 + 3


def test_seconds_of_all_chunks_are_the_rows() -> None:
    strategy = bounded()
    [ask] = strategy.begin(make_clip(), YES_NO)
    finished: list[FinishedAsk] = []
    written = iter(tokens_of(*FIRST, *"abcdef", "\\boxed{no}"))
    for number in (1, 2):
        course: Any = ask.make_course()
        course.start({})
        while not course.is_over:
            course.append(next(written))
        finished.append(
            FinishedAsk(
                ask=ask,
                course=course,
                num_prompt_tokens=20 * number,
                num_video_tokens=8,
                engine_seconds=3.0 * number,
                prompt_seconds=0.5 * number,
                thinking_seconds=2.0 * number,
            )
        )
        outcome = strategy.after(finished, 0)
        ask = outcome[0] if isinstance(outcome, list) else ask
    assert isinstance(outcome, Answer)
    assert (outcome.engine_seconds, outcome.prompt_seconds, outcome.thinking_seconds) == (9.0, 1.5, 6.0)
    assert (outcome.num_prompt_tokens, outcome.num_video_tokens) == (20, 8)


def test_it_is_gated_with_all_that_belongs_to_it() -> None:
    """The audit sample, a question's own threshold, a pace, and what is deferred."""
    script = script_of(LONG, num_answer=3, chunk=4)

    def ask(strategy: BoundedThinking, question=YES_NO, **how: Any) -> Answer:
        request = replace(ask_about("a", question), key="video/0", **how)
        answer = answer_all(strategy, request, script=script)[0]["a", "q"].answer
        assert answer is not None
        return answer

    audited = ask(bounded(threshold=0.1, audit=AuditSample(rate=1.0, unit="row", salt="framegate")))
    assert (audited.verdict.reason, audited.answer, audited.answer_second_value) == ("audit", "yes", "no")
    assert (audited.num_chunks, audited.audit_rate) == (3, 1.0)
    assert ask(bounded(), replace(YES_NO, threshold=0.1)).verdict.reason == "confident"
    assert ask(bounded(threshold=0.1, by_question=((YES_NO.hash, 0.9),))).num_chunks == 3
    assert ask(bounded(), replace(YES_NO, think="never")).num_chunks is None
    assert ask(bounded(threshold=0.1), replace(YES_NO, think="always")).num_chunks == 3
    for deferred in (ask(bounded(), think_below=0.2), ask(bounded(defers=True))):
        assert (deferred.verdict.reason, deferred.num_chunks, deferred.answer) == ("deferred", None, "yes")
        assert deferred.first_token_ids == tuple(range(FIRST_ID + 1, FIRST_ID + 4))
    assert ask(bounded(), think_below=0.9).num_chunks == 3


def test_a_deferred_row_is_deepened_in_chunks_to_what_it_would_have_been() -> None:
    strategy, script = bounded(), script_of(LONG, num_answer=3, chunk=4)
    undisturbed = answer_all(strategy, ask_about("a", YES_NO), script=script)[0]["a", "q"].answer
    first = answer_all(replace(strategy, defers=True), ask_about("a", YES_NO), script=script)[0]["a", "q"].answer
    assert first is not None
    given_answer = GivenAnswer(
        token_ids=first.first_token_ids, answer_first=first.answer_first, confidence=first.confidence_first
    )
    request = replace(ask_about("a", YES_NO), given={YES_NO.hash: given_answer})
    deepened = make_deepened(strategy, None)
    assert deepened.document() == strategy.document()
    [finished] = answer_all(deepened, request, script=script)[0].values()
    assert undisturbed is not None
    assert finished.answer is not None
    assert replace(finished.answer, verdict=undisturbed.verdict, threshold=0.97) == undisturbed
    other = replace(request, given={YES_NO.hash: replace(given_answer, answer_first="no")})
    [failed] = answer_all(deepened, other, script=script)[0].values()
    assert failed.failure_reason == FirstAnswerDiffers.reason


def test_its_part_of_a_job() -> None:
    strategy = make_strategy(
        BoundedThinkingConfig(threshold=0.5, chunk_tokens=256, carry_tokens=64, max_thinking_tokens=2000)
    )
    assert strategy == bounded(threshold=0.5, chunk=256, carry=64, thinking=2000, answer=64)
    assert strategy.needs == frozenset(), "every engine reads tokens that are given by their ids"
    assert pickle.loads(pickle.dumps(strategy)) == strategy
    documents = [bounded(chunk=chunk, carry=carry).document() for chunk, carry in ((4, 2), (5, 2), (4, 3))]
    assert len({str(document) for document in documents}) == 3, "chunks change answers"
    assert documents[0]["strategy"] == "bounded_thinking"
    with pytest.raises(ValidationError, match=r"carry_tokens must be below chunk_tokens.*carry_tokens: 64"):
        BoundedThinkingConfig(chunk_tokens=64, carry_tokens=64)
    with pytest.raises(ValidationError, match="did you mean 'chunk_tokens'"):
        BoundedThinkingConfig(chunk_token=64)  # type: ignore[call-arg]
    job = parse_job(
        {
            "input": {"videos": "videos"},
            "questions": [{"id": "q", "text": "Did it?", "type": "yes_no"}],
            "model": {"name": "model"},
            "output": {"uri": "index"},
            "gate": {"strategy": "bounded_thinking", "chunk_tokens": 128, "carry_tokens": 32, "defer": "always"},
        }
    )
    assert make_strategy(job.config.gate).document()["chunk_tokens"] == 128
