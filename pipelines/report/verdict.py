"""The five questions of a night's owner, each answered in one sentence and a level."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Final, Literal
from zoneinfo import ZoneInfo

from framegate.pipelines.report.figures import Attention, Cost, Coverage, Ended, Saving, Trust, Verdict
from framegate.pipelines.report.saving import MIN_ROWS
from framegate.pipelines.report.say import say_interval, say_length, say_money, say_number, say_share, say_time
from framegate.pipelines.report.truth import Truth

MANY: Final = 0.1
"""A share of unparsed answers, or of videos without answers, above which somebody must act."""

FEW: Final = 0.01
MAX_NAMED: Final = 4
_AT_WORK: Final = ("starting", "running")
_BAD_STOPS: Final = ("breaker", "unparsed")
_STOPPED: Final = {
    "deadline": "stopped by its deadline",
    "budget": "stopped by its budget",
    "signal": "stopped by a signal",
    "limit": "stopped by --limit",
    "breaker": "stopped as too much failed",
    "unparsed": "stopped as too many answers were unparsed",
}


def judge_end(ended: Ended, zone: ZoneInfo) -> Verdict:
    when = f" at {say_time(ended.ended_at, zone)}" if ended.ended_at else ""
    took = f", after {say_length(ended.elapsed_seconds)}" if ended.elapsed_seconds is not None else ""
    left = f"; videos left: {ended.num_videos_left:,}" if ended.num_videos_left else ""
    if ended.state in _AT_WORK:
        return _verdict("Did it end in time?", "look", f"It is still at work{left}.", "ended")
    if ended.state == "complete":
        return _verdict("Did it end in time?", "well", f"Yes: complete{when}{took}{left}.", "ended")
    is_orderly = ended.state == "stopped" and ended.stop_code not in _BAD_STOPS
    how = _STOPPED.get(ended.stop_code or "", ended.state) if ended.state == "stopped" else ended.state
    return _verdict("Did it end in time?", "look" if is_orderly else "act", f"No: {how}{when}{took}{left}.", "ended")


def judge_cost(cost: Cost, saving: Saving) -> Verdict:
    money = partial(say_money, currency=cost.currency)
    if cost.total is not None:
        spent = f"{'At least ' if cost.is_least else ''}{money(cost.total)}"
    else:
        spent = f"The engine was busy for {say_length(saving.spent_seconds)}"
    if not saving.is_gated:
        saved = "no gate was at work"
    elif saving.saved_tokens is None:
        saved = f"too few rows thought to measure what the gate saved (fewer than {MIN_ROWS} of any question)"
    elif cost.saved is not None:
        saved = f"the gate saved {money(cost.saved.value)}{say_interval(cost.saved, money)}"
    else:
        saved = f"the gate saved {say_number(saving.saved_tokens.value)} tokens of thinking"
    return _verdict("What did it cost, and what did the gate save?", "well", f"{spent}; {saved}.", "cost")


def judge_coverage(coverage: Coverage) -> Verdict:
    question = "Is it complete?"
    found = _judge_videos(question, coverage)
    if not coverage.num_deferred:
        return found
    deferred = (
        "1 answer is a first one" if coverage.num_deferred == 1 else f"{coverage.num_deferred:,} answers are first ones"
    )
    return replace(found, sentence=f"{found.sentence} {deferred}, to be thought about when there is a budget for it.")


def _judge_videos(question: str, coverage: Coverage) -> Verdict:
    cameras = coverage.cameras
    complete, total = sum(each.num_complete for each in cameras), sum(each.num_videos for each in cameras)
    if not total:
        return _verdict(question, "look", "No video is known to be there.", "complete")
    if complete == total and not coverage.num_more:
        return _verdict(question, "well", f"Yes: all {total:,} videos are complete.", "complete")
    odd = [each for each in cameras if each.num_complete < each.num_videos]
    if not odd:
        return _verdict(question, "well", "Yes: all videos of all cameras are complete.", "complete")
    lacking = sum(each.num_missing + each.num_failed for each in odd)
    parts = [(sum(each.num_partial for each in odd), "in part"), (sum(each.num_failed for each in odd), "failed"),
             (sum(each.num_missing for each in odd), "not asked yet")]  # fmt: skip
    said = ", ".join(f"{number:,} {what}" for number, what in parts if number)
    level = "act" if lacking > MANY * total else "look"
    worst = odd[0].camera or "videos without a camera"
    sentence = f"{total - complete:,} of {total:,} videos are not: {said}; the most at {worst}."
    return _verdict(question, level, sentence, "complete")


def judge_trust(trust: Trust, truth: Truth) -> Verdict:
    question = "Is it still right?"
    rows = sum(each.num_rows for each in trust.questions)
    if not rows:
        return _verdict(question, "look", "Nothing was answered.", "right")
    unread = sum(each.num_rows * (each.unparsed_share + each.out_of_range_share) for each in trust.questions) / rows
    drifted = [each.question_id for each in trust.questions if each.has_drifted]
    what = "drift in" if trust.is_compared else "answers have shifted in"
    said = [f"{what} {_names(drifted)}"] if drifted else []
    said += [f"{say_share(unread)} of the answers cannot be used"] if unread > FEW else []
    if said:
        sentence = f"Look: {' and '.join(said)}{_by_labels(truth)}."
        return _verdict(question, "act" if unread > MANY else "look", sentence, "right")
    has_looked = trust.is_compared or any(each.drift is not None for each in trust.questions)
    against = "; no question has drifted" if has_looked else ""
    nothing = "all answers could be read" if not unread else f"{say_share(unread)} of the answers cannot be used"
    sentence = f"As far as answers tell: {nothing}{against}{_by_labels(truth)}."
    return _verdict(question, "well", sentence, "right")


def _by_labels(truth: Truth) -> str:
    """The question that is answered worst by its labels; nothing where no question has enough of them."""
    known = [(each.share, each.question_id) for each in truth.questions if each.share is not None]
    if not known:
        return ""
    share, question_id = min(known, key=lambda each: each[0].mean)
    interval = f"{say_share(share.low)} to {say_share(share.high)}"
    return f"; by labels {say_share(share.mean)} ({interval}) of the answers to {question_id} are right" + (
        ", the least" if len(known) > 1 else ""
    )


def judge_attention(attention: Attention) -> Verdict:
    question = "What needs me?"
    retried = sum(each.num_failures - each.num_given_up for each in attention.failures)
    counted = (
        (attention.num_given_up, "video is given up", "videos are given up"),
        (retried, "failure will be tried again", "failures will be tried again"),
        (len(attention.drift), "figure has drifted", "figures have drifted"),
        (len(attention.rows), "row is worth a look", "rows are worth a look"),
    )
    said = [f"{number:,} {one if number == 1 else more}" for number, one, more in counted if number]
    sentence = f"{', '.join(said)}." if said else "Nothing."
    level = "look" if attention.num_given_up or attention.drift else "well"
    return _verdict(question, level, sentence[0].upper() + sentence[1:], "needs")


def _names(names: Iterable[str]) -> str:
    listed = [*dict.fromkeys(names)]
    more = len(listed) - MAX_NAMED
    return ", ".join(listed[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _verdict(question: str, level: Literal["well", "look", "act"], sentence: str, anchor: str) -> Verdict:
    return Verdict(question=question, level=level, sentence=sentence, anchor=anchor)
