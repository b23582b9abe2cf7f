"""How a run ended, as a sentence and as the exit code that a scheduler goes by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from framegate.schemas.errors import RunStopped
from framegate.schemas.run import RunSummary, Stop

EXIT_INCOMPLETE: Final = 1
EXIT_DEADLINE: Final = 3
EXIT_SIGNALLED: Final = 128
"""Plus the signal's number, as a shell reports a program that a signal ended: 129 SIGHUP, 130 SIGINT, 143 SIGTERM."""


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """`sentence` is empty where the summary says it all."""

    exit_code: int
    sentence: str = ""
    is_error: bool = False


def end_of(summary: RunSummary, *, max_unparsed_share: float, again: str) -> RunEnd:
    """The end of a run that came to its summary. `again` says how to go on."""
    return _with_set_aside(_end_of(summary, max_unparsed_share, again), summary)


def _end_of(summary: RunSummary, max_unparsed_share: float, again: str) -> RunEnd:
    left = "videos left" if summary.num_videos_left is None else f"{summary.num_videos_left:,} videos left"
    kept = "everything committed is kept" + ("" if summary.is_sealed else ", and the next run seals the rest of it")
    if summary.stop is not None:
        return _stopped(summary.stop, left, kept, again)
    if not summary.is_complete:
        return RunEnd(exit_code=EXIT_INCOMPLETE, sentence=f"{summary.left_over}; {again}")
    share = summary.counts.unparsed_share or 0.0
    if share > max_unparsed_share:
        sentence = (
            f"{share:.0%} of {summary.counts.num_answers:,} answers could not be read, which is more than"
            f" failures.stop_unparsed_share {max_unparsed_share:g}; they are stored as unparsed; look at answer_first"
            " and answer_second in results, and at the prompt and the types of the questions"
        )
        return RunEnd(exit_code=EXIT_INCOMPLETE, sentence=sentence, is_error=True)
    return RunEnd(exit_code=0)


def end_of_deepening(summary: RunSummary, *, num_deferred: int, again: str, is_of_run: bool = False) -> RunEnd:
    """The end of a deepening. `num_deferred` answers are still to think.

    One that has spent its budget did what it should. So did one that came to the deadline of a run which has all first
    answers (`is_of_run`).
    """
    left = f"{num_deferred:,} answers stay deferred" if num_deferred else ""
    stop = summary.stop
    if stop is not None and (stop.code == "budget" or (stop.code == "deadline" and is_of_run)):
        done = RunEnd(exit_code=0, sentence="; ".join(filter(None, (stop.sentence, left, again))))
        return _with_set_aside(done, summary)
    end = end_of(summary, max_unparsed_share=1.0, again=again)
    return end if end.sentence or not left else RunEnd(exit_code=end.exit_code, sentence=f"{left}; {again}")


def _with_set_aside(end: RunEnd, summary: RunSummary) -> RunEnd:
    """The same end, and what a person should do about objects that were set aside: 0 becomes 1."""
    number = summary.num_set_aside
    if not number:
        return end
    what, them = (f"{number:,} objects of the journal were no units and are", "them") if number > 1 else (
        "1 object of the journal was no unit and is", "it"
    )  # fmt: skip
    sentence = (
        f"{what} set aside in quarantine/config_id={summary.config_id}/ of the output; what should have been there was"
        f" asked again, or is by the next run; find out what damaged {them} or wrote {them} there, and move {them} out"
        " of the output: until then 'framegate audit' finds fault with it"
    )
    sentences = "; ".join(filter(None, (end.sentence, sentence)))
    return RunEnd(exit_code=end.exit_code or EXIT_INCOMPLETE, sentence=sentences, is_error=True)


def end_without_plan(stopped: RunStopped, *, again: str) -> RunEnd:
    """The end of a run that was stopped before it had a plan."""
    return _stopped(stopped.stop, "nothing planned yet", "nothing was begun", again)


def _stopped(stop: Stop, left: str, kept: str, again: str) -> RunEnd:
    if stop.code == "signal":
        code = EXIT_SIGNALLED + (stop.signal_number or 0)
        return RunEnd(exit_code=code, sentence=f"stopped by {stop.sentence} with {left}; {kept}; {again}")
    if stop.code in ("deadline", "budget"):
        return RunEnd(exit_code=EXIT_DEADLINE, sentence=f"stopped: {stop.sentence}; {left}; {kept}; {again}")
    look = "look at the failures above" if stop.code == "breaker" else "change the prompt or the questions"
    return RunEnd(exit_code=EXIT_INCOMPLETE, sentence=f"stopped: {stop.sentence}; {look}; {again}", is_error=True)
