"""The second step of a gate: a strategy that asks anew what the gate does not let go.

    first ask ──verdict exit──> its answer
              └─verdict think─> inner.begin ──asks──> inner.after ──> an answer, completed with the first one

Any strategy can be the inner one. What it hands over as `answer_second` and `confidence_second` stands in the row as it
is, and so does each column of its own; `answer_first` and what goes with it are those of the gate's ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from framegate.pipelines.reason.strategies.final_answer import take_answer
from framegate.pipelines.reason.strategies.protocol import Ask, FinishedAsk, Strategy
from framegate.schemas.gate_reason import AUDIT
from framegate.schemas.qa import Answer, Status


def go_on(
    inner: Strategy, first: Answer, finished: Sequence[FinishedAsk], num_open: int
) -> Sequence[Ask] | Answer | None:
    """What follows from the asks of one question, of which finished[0] is the gate's own and gave `first`."""
    gate, *others = finished
    if first.verdict.route == "exit":
        return first
    if not others:
        return inner.begin(gate.ask.clip, gate.ask.question)
    outcome = inner.after(others, num_open)
    if not isinstance(outcome, Answer):
        return outcome
    return complete(first, outcome, sees_same_frames=all(other.ask.frames == gate.ask.frames for other in others))


def complete(first: Answer, second: Answer, *, sees_same_frames: bool) -> Answer:
    """The row of a question that was asked anew: the second answer if it can be read, else the first; of an audited row
    the first alone. Tokens and seconds are those of both; frames that both saw count once."""
    offered = (first,) if first.verdict.reason == AUDIT else (second, first)
    chosen = next((one for one in offered if one.status == "answered"), None)
    final = chosen or second
    unparsed = all(one.status == "unparsed" for one in offered)
    status: Status = "answered" if chosen else "unparsed" if unparsed else "out_of_range"
    num_seen_twice = first.num_video_tokens if sees_same_frames else 0
    full = [one.num_video_tokens_full for one in (first, second) if one.num_video_tokens_full is not None]
    return replace(
        take_answer(second, final),
        status=status,
        answer_first=first.answer_first,
        answer_first_value=first.answer_first_value,
        confidence_first=first.confidence_first,
        verdict=first.verdict,
        thinking=True,
        num_prompt_tokens=first.num_prompt_tokens + second.num_prompt_tokens - num_seen_twice,
        num_video_tokens=first.num_video_tokens + second.num_video_tokens - num_seen_twice,
        num_video_tokens_full=(full[0] if sees_same_frames else sum(full)) if full else None,
        num_answer_tokens=first.num_answer_tokens,
        num_thinking_tokens=second.num_answer_tokens + second.num_thinking_tokens,
        engine_seconds=first.engine_seconds + second.engine_seconds,
        prompt_seconds=first.prompt_seconds + second.prompt_seconds,
        thinking_seconds=first.thinking_seconds + second.engine_seconds - second.prompt_seconds,
        unparsed_text="\n".join(filter(None, (first.unparsed_text, second.unparsed_text))) if unparsed else None,
        threshold=first.threshold,
        audit_rank=first.audit_rank,
        audit_rate=first.audit_rate,
        first_token_ids=None,
        confidence_min_probability=first.confidence_min_probability,
        confidence_margin=first.confidence_margin,
        confidence_entropy=first.confidence_entropy,
    )
