"""Thoughts in chunks on our own engine, in float32: a plain loop over the model writes the same tokens, each prefix is
run once, and what a sequence takes of memory is a chunk's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING
from framegate.pipelines.reason.engines.own.kv_cache import round_up
from framegate.pipelines.reason.questions import QuestionRunner
from framegate.pipelines.reason.strategies.bounded_thinking import BoundedThinking
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Ask
from framegate.schemas.qa import Question
from tests.asking import drain
from tests.reason.engines.own.model_oracle import logprobs_along
from tests.reason.engines.own.test_engine_equality import CLIPS, QUESTIONS, checkpoint_of, prefix_of, suffix_of
from tests.small_checkpoints import make_request

ANSWER = 6
QUESTIONS_THAT_THINK = tuple(replace(question, think="always") for question in (QUESTIONS[0], QUESTIONS[4]))


def bounded(*, chunk: int, carry: int, thinking: int) -> BoundedThinking:
    how = {"threshold": 1.0, "max_answer_tokens": ANSWER, "max_thinking_tokens": thinking}
    return BoundedThinking(chunk_tokens=chunk, carry_tokens=carry, **how)


class Kept(BoundedThinking):
    """Keeps the asks of each question, and the tokens of all."""

    def after(self, finished, num_open):
        outcome = super().after(finished, num_open)
        key = finished[0].ask.clip.id, finished[0].ask.question.id
        FOUND[key] = [one.ask for one in finished], finished[-1].course.token_ids
        return outcome


FOUND: dict[tuple[str, str], tuple[list[Ask], list[int]]] = {}


def kept(strategy: BoundedThinking) -> Kept:
    FOUND.clear()
    names = ("threshold", "max_answer_tokens", "max_thinking_tokens", "chunk_tokens", "carry_tokens")
    return Kept(**{name: getattr(strategy, name) for name in names})


def run(bench, folder: Path, strategy: BoundedThinking, questions=QUESTIONS_THAT_THINK, **engine):
    """Of three clips: the engine, once all have come back, and the answers by (clip, question id)."""
    own = bench.engine(folder, **engine)
    runner = QuestionRunner(own, strategy)
    for number, frames, size in CLIPS[:3]:
        runner.add(replace(make_request(number, questions, num_frames=frames, size=size), id=str(number)))
    finished = drain(runner)
    assert [one.failure_message for one in finished] == [None] * len(finished)
    return own, {(one.request_id, one.question.id): one.answer for one in finished}


def greedily(folder: Path, clip: int, question: Question, carried: list[int], written: list[int]) -> list[int]:
    """What transformers alone would have written in place of each token, behind the prompt and the carried ids."""
    along = logprobs_along(folder, prefix_of(folder, clip), suffix_of(folder, question), [*carried, *written])
    return along[len(carried) :].argmax(-1).tolist()


@pytest.mark.parametrize(("chunk", "carry", "thinking"), [(5, 2, 18), (6, 5, 15), (9, 1, 22), (5, 4, 15)])
@pytest.mark.parametrize("num_slots", [1, 4])
def test_each_chunk_writes_what_the_model_writes_behind_the_carried_ids(
    bench, random_checkpoint, chunk: int, carry: int, thinking: int, num_slots: int
) -> None:
    """Weights that were not trained write no `<think>`: what is carried is the first answer and the last ids."""
    strategy = kept(bounded(chunk=chunk, carry=carry, thinking=thinking))
    _, answers = run(bench, random_checkpoint, strategy, num_slots=num_slots)
    closing = checkpoint_of(random_checkpoint).encode(FORCED_CLOSING)
    num_closed = 0
    for (clip, _), (asks, token_ids) in FOUND.items():
        question, num_first = asks[0].question, answers[clip, asks[0].question.id].num_answer_tokens
        first, thought = token_ids[:num_first], token_ids[num_first:]
        assert first == greedily(random_checkpoint, int(clip), question, [], first)
        starts = range(0, min(thinking, len(thought)), chunk)
        assert len(asks) == len(starts)
        for start in starts:
            is_last = start == starts[-1]
            written = thought[start:] if is_last else thought[start : start + chunk]
            carried = [*first, *thought[max(0, start - carry) : start]]
            expected = greedily(random_checkpoint, int(clip), question, carried, written)
            if is_last and len(thought) > thinking:
                place = thinking - start
                expected[place : place + len(closing)] = closing
                num_closed += 1
            assert written == expected
    assert num_closed >= 3, "most think to the end of what they may, over three chunks"


def test_chunks_as_long_as_the_thought_write_what_the_gate_writes(bench, random_checkpoint) -> None:
    strategy = bounded(chunk=20, carry=3, thinking=20)
    gate = Gated(threshold=1.0, max_answer_tokens=ANSWER, max_thinking_tokens=20)
    requests = [make_request(number, QUESTIONS, num_frames=frames, size=size) for number, frames, size in CLIPS[:2]]
    chunked = bench.run(bench.runner(random_checkpoint, strategy), requests)
    plain = bench.run(bench.runner(random_checkpoint, gate), requests)
    assert chunked.token_ids == plain.token_ids
    seconds = {"engine_seconds": 0.0, "prompt_seconds": 0.0, "thinking_seconds": 0.0}
    for key, answer in chunked.answers.items():
        assert replace(answer, num_chunks=None, **seconds) == replace(plain.answers[key], **seconds)


def test_a_prefix_is_run_once_and_each_chunk_reads_the_question_and_what_is_carried(bench, random_checkpoint) -> None:
    own, _ = run(bench, random_checkpoint, kept(bounded(chunk=5, carry=2, thinking=18)), num_slots=1)
    encode = checkpoint_of(random_checkpoint).encode
    asks = [ask for of_question, _ in FOUND.values() for ask in of_question]
    assert len(asks) > 3 * len(FOUND) // 2
    expected = sum(len(prefix_of(random_checkpoint, number).token_ids) for number, _, _ in CLIPS[:3])
    expected += sum(len(encode(ask.suffix)) + len(ask.carried) for ask in asks)
    assert own.times.num_prefill_tokens == expected


def test_a_last_question_of_a_clip_goes_on_over_the_same_prefix(bench, random_checkpoint) -> None:
    """Nothing else holds the clip between two chunks."""
    own, answers = run(bench, random_checkpoint, bounded(chunk=5, carry=2, thinking=18), QUESTIONS_THAT_THINK[:1])
    assert max(answer.num_chunks for answer in answers.values()) > 1
    prefixes = [prefix_of(random_checkpoint, number) for number, _, _ in CLIPS[:3]]
    assert own.times.num_patches == sum(len(prefix.patches.pixels_ND) for prefix in prefixes)


@pytest.mark.parametrize("thinking", [60, 600])
def test_memory_of_a_sequence_is_that_of_a_chunk_however_long_it_may_think(bench, random_checkpoint, thinking) -> None:
    chunk, carry = 16, 8
    strategy = kept(bounded(chunk=chunk, carry=carry, thinking=thinking))
    own, answers = run(bench, random_checkpoint, strategy)
    checkpoint = checkpoint_of(random_checkpoint)
    num_suffix = max(len(checkpoint.encode(ask.suffix)) for asks, _ in FOUND.values() for ask in asks)
    num_closing = len(checkpoint.encode(FORCED_CLOSING))
    bound = num_suffix + ANSWER + carry + chunk + num_closing + ANSWER
    assert own.runner.cache.row_store.capacity <= round_up(bound)
    longest = max(answer.num_thinking_tokens for answer in answers.values())
    assert longest >= thinking, "some think to the end of what they may"
    if thinking == 600:
        assert round_up(bound) < longest
    gate = Gated(threshold=1.0, max_answer_tokens=ANSWER, max_thinking_tokens=thinking)
    plain, _ = run(bench, random_checkpoint, gate)  # type: ignore[arg-type]
    assert plain.runner.cache.row_store.capacity >= round_up(num_suffix + thinking)


def test_a_taught_thought_that_is_cut_goes_on_to_its_answer(bench, taught_checkpoint) -> None:
    """`\\n<think>look again</think>\\boxed{B}`, cut at any place, the box's opening among what is carried."""
    plain = Gated(threshold=0.9, max_answer_tokens=16, max_thinking_tokens=48)
    request = bench.make_request(1, (bench.unsure,))
    [whole] = bench.run(bench.runner(taught_checkpoint, plain), [request]).answers.values()
    length = whole.num_thinking_tokens
    for chunk in range(length // 2 + 1, length):
        strategy = BoundedThinking(
            threshold=0.9, max_answer_tokens=16, max_thinking_tokens=48, chunk_tokens=chunk, carry_tokens=chunk - 1
        )
        [answer] = bench.run(bench.runner(taught_checkpoint, strategy), [request]).answers.values()
        assert (answer.answer_letter, answer.finish_reason, answer.num_chunks) == ("B", "answered", 2)
        assert answer.thinking_text == whole.thinking_text
