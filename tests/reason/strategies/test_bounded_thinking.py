"""Thoughts in chunks: what is carried over, what is counted, and that chunks change nothing of what is read."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING
from framegate.pipelines.reason.engines.scripted import FIRST_ID, Script
from framegate.pipelines.reason.strategies.bounded_thinking import MAX_OPENING_TOKENS, BoundedThinking
from framegate.pipelines.reason.strategies.build import make_deepened, make_strategy
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Ask, FinishedAsk, Strategy, Token, TokenBudget
from framegate.schemas.audit_sample import AuditSample
from framegate.schemas.config.gate import BoundedThinkingConfig
from framegate.schemas.deepening import GivenAnswer
from framegate.schemas.errors import FirstAnswerDiffers
from framegate.schemas.job import parse_job
from framegate.schemas.qa import Answer
from tests.asking import YES_NO, answer_all, ask_about, boxed, make_clip

UNSURE = [("\\boxed{", 0.0), ("yes", -0.5), ("}", 0.0)]
CLOSING_ID = 1


def bounded(*, chunk: int = 4, carry: int = 2, thinking: int = 12, answer: int = 3, **more: Any) -> BoundedThinking:
    how = {"threshold": 0.97, "max_answer_tokens": answer, "max_thinking_tokens": thinking, **more}
    return BoundedThinking(chunk_tokens=chunk, carry_tokens=carry, **how)


def gate_of(strategy: BoundedThinking) -> Gated:
    """The same with one chunk for all."""
    return Gated(
        threshold=strategy.threshold,
        audit=strategy.audit,
        max_answer_tokens=strategy.max_answer_tokens,
        max_thinking_tokens=strategy.max_thinking_tokens,
    )


class Course:
    """Runs the asks of one question over bytes that come whatever the context. Each course is made twice, and once
    from a pickle, as engines may."""

    def __init__(self, strategy: Strategy, written: Sequence[Token]) -> None:
        self.asks: list[Ask] = []
        self.num_written: list[int] = []
        self._written = deque(written)
        finished: list[FinishedAsk] = []
        outcome: Any = strategy.begin(make_clip(), YES_NO)
        while not isinstance(outcome, Answer):
            [ask] = outcome
            self.asks.append(ask)
            finished.append(FinishedAsk(ask=ask, course=self._run(ask), num_prompt_tokens=50 + len(self.asks)))
            outcome = strategy.after(finished, 0)
        self.answer: Answer = outcome
        kept = [len(one.course.token_ids) for one in finished]  # type: ignore[union-attr]
        assert not any(kept[:-1]), "a long thought is kept once"
        self.token_ids: list[int] = finished[-1].course.token_ids  # type: ignore[union-attr]

    def _run(self, ask: Ask) -> Any:
        spare = ask.make_course()  # what is done to one course is nothing to another
        spare.start({FORCED_CLOSING: [CLOSING_ID]})
        before = list(spare.token_ids)
        spare.append(Token(2, b"}", -1.0))
        course = pickle.loads(pickle.dumps(ask.make_course))()
        course.start({text: [CLOSING_ID] for text in ask.budget.forced_texts})
        assert course.token_ids == before
        count = 0
        while not course.is_over:
            count += 1
            if course.forced:
                course.append(Token(course.forced.popleft(), FORCED_CLOSING.encode(), -0.1))
            else:
                course.append(self._written.popleft() if self._written else Token(3, b"", -0.1, ends_turn=True))
        assert count <= ask.budget.max_tokens(lambda text: 1)
        self.num_written.append(count)
        return course


def tokens_of(*pieces: bytes | str) -> list[Token]:
    return [
        Token(10 + place, piece.encode() if isinstance(piece, str) else piece, -0.3 - place / 100)
        for place, piece in enumerate(pieces)
    ]


FIRST = ("\\boxed{", "yes", "}")


def same(answer: Answer, other: Answer) -> bool:
    return replace(answer, num_chunks=None) == other


def test_a_thought_that_ends_in_its_first_chunk_is_the_gates() -> None:
    written = tokens_of(*FIRST, "<think>", "hm", "</think>", "\\boxed{no}")
    one = Course(bounded(), written)
    assert same(one.answer, Course(gate_of(bounded()), written).answer)
    assert (one.answer.num_chunks, len(one.asks), one.answer.answer) == (1, 1, "no")
    assert (one.asks[0].carried, one.asks[0].label) == ((), "")


def test_a_chunk_begins_with_the_first_answer_the_opening_and_the_last_tokens_of_the_one_before() -> None:
    written = tokens_of(*FIRST, "\n", "<think>", *"abcdefgh", "</think>", "\\boxed{no}")
    found = Course(bounded(), written)
    ids = [token.id for token in written]
    assert found.num_written == [3 + 4, 4, 4]
    first, second, third = found.asks
    assert second.carried == tuple(ids[:5] + ids[5:7])  # the first chunk is \n <think> a b
    assert third.carried == tuple(ids[:5] + ids[9:11])
    assert (second.clip, second.suffix, second.frames) == (first.clip, first.suffix, first.frames)
    assert [ask.label for ask in found.asks] == ["", "chunk 2", "chunk 3"]
    assert (found.answer.thinking_text, found.answer.answer, found.answer.num_chunks) == ("abcdefgh", "no", 3)
    assert found.answer.num_thinking_tokens == 12
    assert found.token_ids == ids


def test_a_thought_without_an_opening_carries_its_end_alone() -> None:
    written = tokens_of(*FIRST, *"abcdefgh", "\\boxed{no}")
    assert Course(bounded(), written).asks[1].carried == (10, 11, 12, 15, 16)


def test_an_opening_far_off_is_none() -> None:
    blank = [" "] * MAX_OPENING_TOKENS
    strategy = bounded(chunk=40, carry=2, thinking=100)
    far = Course(strategy, tokens_of(*FIRST, *blank, "<think>", *["a"] * 40))
    assert far.asks[1].carried == (10, 11, 12, 51, 52)
    near = Course(strategy, tokens_of(*FIRST, *blank[1:], "<think>", *["a"] * 40))
    assert near.asks[1].carried == (*range(10, 13 + MAX_OPENING_TOKENS), 51, 52)


def test_where_nothing_is_forgotten_the_context_is_that_of_plain_thinking() -> None:
    """Two tokens of opening and three carried ones are more than a chunk: each stands there once."""
    written = tokens_of(*FIRST, "\n", "<think>", "a", "b", "c", "</think>", "\\boxed{no}")
    second = Course(bounded(carry=3), written).asks[1]
    assert second.carried == tuple(token.id for token in written[:7])


@pytest.mark.parametrize(
    "pieces",
    [
        (*"abc", b"\xc3", b"\xa9", *"d", "\\boxed{no}"),
        (*"ab", "\\boxed{", "n", "o", "}"),
        (*"abc", "\\boxe", "d{", "no", "}"),
        (*"abc", "</thi", "nk>", "\\boxed{no}"),
        (*"abcd", "\\boxed{\\text{n", "o", "}", "}"),
    ],
    ids=["in a character", "in a box", "in an opening", "in a closing", "in a nested box"],
)
def test_what_lies_across_the_end_of_a_chunk_is_read_as_one(pieces: Sequence[bytes | str]) -> None:
    written = tokens_of(*FIRST, *pieces)
    found, plain = Course(bounded(), written), Course(gate_of(bounded()), written)
    assert found.answer.num_chunks == 2
    assert found.answer.answer == "no"
    assert same(found.answer, plain.answer)
    carried = found.asks[1].carried
    assert carried == tuple(token.id for token in (*written[:3], *written[5:7])), "verbatim, a half box among them"


def test_a_turn_that_ends_within_a_later_chunk_is_the_end() -> None:
    found = Course(bounded(), tokens_of(*FIRST, *"abcdef"))
    assert (found.answer.finish_reason, found.answer.answer, found.answer.num_chunks) == ("ended", "yes", 2)
    assert found.answer.num_thinking_tokens == 7


@pytest.mark.parametrize("thinking", [4, 7, 8, 9, 12])
def test_the_closing_is_forced_where_the_tokens_of_all_chunks_are_spent(thinking: int) -> None:
    strategy = bounded(thinking=thinking)
    written = tokens_of(*FIRST, *["a"] * thinking, "no", "}")
    found = Course(strategy, written)
    num_chunks = -(-thinking // 4)
    assert (found.answer.finish_reason, found.answer.answer) == ("thinking_budget", "no")
    assert (found.answer.num_chunks, len(found.asks)) == (num_chunks, num_chunks), "no chunk is begun for the closing"
    assert found.answer.num_thinking_tokens == thinking + 1 + 2
    assert same(found.answer, Course(gate_of(strategy), written).answer)


def test_budgets_are_one_for_each_chunk_and_bound_the_context_of_each() -> None:
    strategy = bounded(chunk=100, carry=40, thinking=250, answer=16)
    closing, kept = (FORCED_CLOSING,), 16 + MAX_OPENING_TOKENS + 40
    assert strategy.budgets(YES_NO) == [
        TokenBudget(num_tokens=16 + 100),
        TokenBudget(num_tokens=100, num_carried=kept),
        TokenBudget(num_tokens=50 + 16, forced_texts=closing, num_carried=kept),
    ]
    [plain] = gate_of(strategy).budgets(YES_NO)
    assert sum(budget.num_tokens for budget in strategy.budgets(YES_NO)) == plain.num_tokens
    assert bounded(chunk=250, thinking=250).budgets(YES_NO) == gate_of(bounded(thinking=250)).budgets(YES_NO)
    never = replace(YES_NO, think="never")
    assert strategy.budgets(never) == gate_of(strategy).budgets(never) == [TokenBudget(num_tokens=16)]
    assert replace(strategy, defers=True).budgets(YES_NO) == [TokenBudget(num_tokens=16)]


PIECES = st.lists(
    st.sampled_from(
        [
            *(b"<think>", b"</think>", b"</th", b"ink>", b"\\boxed{", b"\\box", b"ed{", b"yes", b"no", b"{", b"}"),
            *(b"\xc3", b"\xa9", b" ", b"\n", b"Let's analyze", b"hm", b""),
        ]
    ),
    max_size=40,
)


@settings(max_examples=400, deadline=None)
@given(
    first=st.sampled_from([(b"\\boxed{yes}",), (b"\\boxed{", b"no", b"}"), (b"\\boxed{}",), ()]),
    pieces=PIECES,
    chunk=st.integers(2, 45),
    carry=st.integers(1, 44),
    thinking=st.integers(1, 45),
    answer=st.integers(1, 6),
)
def test_chunks_of_any_size_change_nothing_of_what_is_read(first, pieces, chunk, carry, thinking, answer) -> None:
    """Of a text that does not depend on its context."""
    strategy = bounded(chunk=chunk, carry=min(carry, chunk - 1), thinking=thinking, answer=answer)
    written = tokens_of(*first, *pieces)
    found, plain = Course(strategy, written), Course(gate_of(strategy), written)
    assert same(found.answer, plain.answer)
    assert found.token_ids == plain.token_ids
    assert sum(found.num_written) == len(found.token_ids), "each token is written and counted once"
    assert found.answer.num_chunks == (len(found.asks) if found.answer.thinking else None)
    budgets = strategy.budgets(YES_NO)
    assert len(found.asks) <= len(budgets)
    num_before = 0
    for ask, budget, num_written in zip(found.asks, budgets, found.num_written, strict=False):
        assert (ask.budget, len(ask.carried) <= budget.num_carried) == (budget, True)
        assert not ask.carried or ask.carried[-1] == found.token_ids[num_before - 1]
        num_before += num_written
        assert num_written <= answer + chunk + 1 + answer


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
