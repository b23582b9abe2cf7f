"""The processor of courses by itself, over every way in which vLLM changes its batch: rows never mix.

A batch is played here by vLLM's rules: rows come and go, are moved and swapped, read their prompts in part, are
preempted and come back. Each question has a text of its own to write; the processor must see exactly that text.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import MoveDirectionality
from vllm.v1.sample.logits_processor.interface import BatchUpdate

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING
from framegate.pipelines.reason.engines.vllm.driver_state import DriverState
from framegate.pipelines.reason.engines.vllm.processor import EXTRA_ARG, CourseProcessor
from framegate.pipelines.reason.engines.vllm.sequence import (
    NO_TOKEN,
    RunningAsk,
    TokenTable,
    begin_packed,
    pack_course,
)
from framegate.pipelines.reason.strategies.always_think import AlwaysThink
from framegate.pipelines.reason.strategies.protocol import Ask, FinishedAsk
from framegate.pipelines.reason.strategies.two_answers import Ruling, TwoAnswerCourse, think_always
from framegate.schemas.qa import Answer, Question
from tests.asking import make_clip

TEXTS = (b"\\boxed{a}", b"\\boxed{b}bbb\\boxed{c}.", b"no box at all, ever", b"\\boxed{}x.")
END = 0
TOKENS = TokenTable(pieces=[b"", *(bytes([value]) for value in range(1, 128))], end_ids=frozenset({END}))
STRATEGY = AlwaysThink(max_answer_tokens=12, max_thinking_tokens=9)
CLOSING = list(FORCED_CLOSING.encode())


def make_ask(number: int) -> Ask:
    (ask,) = STRATEGY.begin(make_clip(), Question(id=str(number), text="?"))
    return ask


def pack(number: int) -> bytes:
    ask = make_ask(number)
    return pack_course(ask.make_course, {FORCED_CLOSING: CLOSING}, ask.budget.max_tokens(lambda text: len(text)))


def answer_of(number: int, running: RunningAsk) -> Answer:
    assert isinstance(running.course, TwoAnswerCourse)
    return running.course.to_answer(FinishedAsk(ask=make_ask(number), course=running.course))


class Request:
    """A question that would write TEXTS[number % 4], and then end its turn."""

    def __init__(self, number: int) -> None:
        self.key = str(number)
        self.script = TEXTS[number % len(TEXTS)]
        entry = {"key": self.key, "course": pack(number)}
        self.params = SamplingParams(extra_args={EXTRA_ARG: entry})
        self.output_ids: list[int] = []

    @property
    def wanted(self) -> int:
        place = len(self.output_ids)
        return self.script[place] if place < len(self.script) else END


@cache
def play_alone(number: int) -> RunningAsk:
    """The course as it must come out: its own text, the forced closing in place, until it is over."""
    running, request = begin_packed(pack(number)), Request(number)
    while not running.is_over:
        logits = logits_for(request.wanted)
        token_id = request.wanted if running.forced_id is None else running.forced_id
        request.output_ids.append(token_id)
        running.feed(TOKENS.make_token(token_id, float(logits.log_softmax(-1)[token_id])))
    return running


@cache
def logits_for(token_id: int) -> torch.Tensor:
    logits = torch.linspace(-1.0, 1.0, 128)
    logits[token_id] = 3.0 + token_id / 128
    return logits


class Batch:
    """vLLM's persistent batch around one processor: rows without gaps, changes told as vLLM tells them."""

    def __init__(self, processor: CourseProcessor, *, is_async: bool) -> None:
        self.processor = processor
        self.rows: list[Request | None] = []
        self.is_async = is_async

    def step(self, stay: set[str], enter: list[Request], swap: tuple[int, int] | None, partial: set[str]) -> None:
        """Rows not in `stay` leave, `enter` fill the gaps, the rest moves together; then one forward pass."""
        gaps = [place for place, row in enumerate(self.rows) if row is not None and row.key not in stay]
        for place in gaps:
            self.rows[place] = None
        added, moved = [], []
        for request in enter:
            place = gaps.pop(0) if gaps else len(self.rows)
            if place == len(self.rows):
                self.rows.append(None)
            self.rows[place] = request
            added.append((place, request.params, None, request.output_ids))
        while gaps and gaps[0] < (last := max((i for i, row in enumerate(self.rows) if row), default=-1)):
            place = gaps.pop(0)
            self.rows[place], self.rows[last] = self.rows[last], None
            moved.append((last, place, MoveDirectionality.UNIDIRECTIONAL))
        self.rows = [row for row in self.rows if row is not None]
        if swap is not None and max(swap) < len(self.rows):
            a, b = swap
            self.rows[a], self.rows[b] = self.rows[b], self.rows[a]
            moved.append((a, b, MoveDirectionality.SWAP))
        removed = sorted(gaps, reverse=True)
        update = BatchUpdate(batch_size=len(self.rows), removed=removed, added=added, moved=moved)
        self.processor.update_state(update if removed or added or moved else None)
        if not self.rows:
            return
        logits = torch.stack([logits_for(row.wanted) for row in self.rows])
        chosen = self.processor.apply(logits).argmax(dim=-1).tolist()
        for row, token_id in zip(self.rows, chosen, strict=True):
            if row.key not in partial:
                # Where steps overlap, vLLM writes the token down only when it has arrived.
                if self.is_async and row.output_ids:
                    row.output_ids[-1] = row.arrived
                row.arrived = token_id
                row.output_ids.append(NO_TOKEN if self.is_async else token_id)


def make_processor(*, is_async: bool = False) -> CourseProcessor:
    config = SimpleNamespace(model_config=None, scheduler_config=SimpleNamespace(async_scheduling=is_async))
    processor = CourseProcessor(config, torch.device("cpu"), False)
    processor._tokens = TOKENS
    return processor


@pytest.mark.parametrize("is_async", [False, True], ids=["step by step", "overlapping"])
@settings(max_examples=60)
@given(num_requests=st.integers(1, 9), chance=st.randoms(use_true_random=True))
def test_every_row_sees_its_own_tokens_and_no_other(is_async, num_requests, chance):
    processor = make_processor(is_async=is_async)
    batch = Batch(processor, is_async=is_async)
    waiting = [Request(number) for number in range(num_requests)]
    requests = list(waiting)
    seen: dict[str, RunningAsk] = {}
    for _ in range(600):
        # A request is over for vLLM when the forced end has been written; it may also be preempted any time before.
        running = [row for row in batch.rows if row is not None]
        over = {row.key for row in running if is_over(row, batch)}
        if not waiting and len(over) == len(running):
            break
        preempted = [row for row in running if row.key not in over and chance.random() < 0.1]
        for row in preempted:
            if row.output_ids and row.output_ids[-1] == NO_TOKEN:
                row.output_ids[-1] = row.arrived
        enter = [waiting.pop(0) for _ in range(min(len(waiting), chance.randint(0, 2)))]
        stay = {row.key for row in running} - over - {row.key for row in preempted}
        swap = (0, chance.randint(1, 3)) if chance.random() < 0.2 else None
        partial = {row.key for row in [*running, *enter] if not row.output_ids and chance.random() < 0.4}
        batch.step(stay, enter, swap, partial)
        waiting += preempted
        seen |= {row.key: row.running for row in processor._rows.values() if row.running is not None}
    else:
        pytest.fail("the batch did not come to its end")
    for request in requests:
        expected = play_alone(int(request.key))
        running = seen[request.key]
        assert running.error is None
        assert running.course.token_ids == expected.course.token_ids
        assert answer_of(int(request.key), running) == answer_of(int(request.key), expected)
    batch.step(set(), [], None, set())
    assert len(processor) == 0
    assert processor._unfinished == {}


def is_over(row: Request, batch: Batch) -> bool:
    """Whether vLLM sees the end: the course is over, and the end that was forced then has been written."""
    expected = play_alone(int(row.key)).num_tokens
    return len(row.output_ids) > expected


def test_a_driver_in_the_same_process_is_found_and_one_elsewhere_is_not():
    state = DriverState(TOKENS)
    with state.published():
        processor = make_processor()
    assert state.batch is processor
    with state.published():
        state._pid += 1  # as a forked worker sees the state that it has inherited
        assert DriverState.find() is None
    assert DriverState.find() is None


def test_a_course_that_raises_ends_its_own_ask_alone():
    class Raises(TwoAnswerCourse):
        def append(self, token):
            raise RuntimeError("cannot read this")

    state = DriverState(TOKENS)
    with state.published():
        processor = make_processor()
    state.running = {"0": begin_packed(pack(0)), "1": begin_packed(pack(1))}
    state.running["0"].course = Raises(
        make_ask(0).question, ruling=Ruling(decide=think_always), max_answer_tokens=1, max_thinking_tokens=1
    )
    batch, requests = Batch(processor, is_async=False), [Request(0), Request(1)]
    batch.step({"0", "1"}, requests, None, set())
    assert [row.key for row in processor.take_new_tokens()] == ["0", "1"]
    assert str(state.running["0"].error) == "cannot read this"
    assert (state.running["0"].is_over, state.running["1"].is_over) == (True, False)


def test_requests_of_others_are_left_alone():
    processor = make_processor()
    others = SamplingParams(), SamplingParams(extra_args={"other": 1})
    added = [(place, params, None, []) for place, params in enumerate(others)]
    processor.update_state(BatchUpdate(batch_size=2, removed=[], added=added, moved=[]))
    logits = torch.stack([logits_for(5), logits_for(6)])
    assert torch.equal(processor.apply(logits.clone()), logits)
    assert len(processor) == 0
