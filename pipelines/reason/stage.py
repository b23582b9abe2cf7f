"""The reason stage: a decoded unit in, an answered unit out. One engine per stage, shared by all calls at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace

from framegate.pipelines.reason.engine_thread import EngineThread
from framegate.pipelines.reason.engines.protocol import EngineFactory
from framegate.pipelines.reason.occupancy import Occupancy
from framegate.pipelines.reason.pruned import add_answers, audited_of, prune_audit
from framegate.pipelines.reason.questions import ClipRequest, Finished
from framegate.pipelines.reason.still import asked_of, take_over_all, to_be_asked_again
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.pipelines.reason.wear import Wear
from framegate.schemas.audit_sample import AuditSample, clip_key
from framegate.schemas.config import EngineConfig
from framegate.schemas.config.pruning import PruneConfig
from framegate.schemas.errors import EngineError
from framegate.schemas.qa import Answer, Question
from framegate.schemas.unanswered import Failure
from framegate.schemas.unit import AnsweredClip, AnsweredUnit, DecodedClip, DecodedUnit

QUESTIONS_PER_SLOT = 3  # one that runs, one that is paused before it thinks, and one that waits for its slot


class ReasonStage:
    """Asks the questions that a unit misses, of each of its clips.

    `answer` may be called from many threads: their units are in the engine together, and each call has its own back as
    soon as it is answered. The engine is built by the first call and not by the constructor, so that the caller gets
    what is raised there as it is. `on_fatal` and `limits`: see EngineThread; without limits nothing wears out.
    `audit`: the sample of rows that take over answers and are asked all the same.
    `prune` is the job's: rows of the audit sample are then answered without it, too.
    """

    def __init__(
        self,
        *,
        engine_factory: EngineFactory,
        strategy: Strategy,
        questions: tuple[Question, ...],
        audit: AuditSample | None = None,
        on_fatal: Callable[[BaseException], None] | None = None,
        limits: EngineConfig | None = None,
        prune: PruneConfig | None = None,
    ) -> None:
        self.occupancy = Occupancy()
        self._prunes = prune_audit(prune, strategy)
        self._engine = EngineThread(
            engine_factory,
            strategy,
            on_fatal=on_fatal,
            occupancy=self.occupancy,
            limits=limits,
            needs=frozenset() if self._prunes is None else self._prunes.needs,
        )
        self._wear = None if limits is None else Wear(limits)
        self._audit = audit
        self._bank = {question.hash: question for question in questions}
        self._unit_numbers = itertools.count()

    def answer(self, decoded: DecodedUnit) -> AnsweredUnit:
        """Returns when every question of every clip came back. What fails of them becomes a failure in the unit.

        Raises EngineTimeout where a step of the engine did not come back.
        """
        [(_, answered)] = self.answer_each([decoded])
        return answered

    def answer_each(
        self,
        units: Sequence[DecodedUnit],
        *,
        think_below: float | None = None,
        on_answered: Callable[[], None] | None = None,
    ) -> Iterator[tuple[int, AnsweredUnit]]:
        """`answer` of several units at once: each with its place among them, as it is answered. `think_below` bounds
        who may think, as in ClipFrames. `on_answered` is called in the engine's thread for each question that comes
        back."""
        found: list[list[dict[str, Finished]]] = [[{} for _ in decoded.clips] for decoded in units]
        others: dict[int, dict[tuple[int, float], dict[str, Finished]]] = {}  # of the audit sample
        asked = {
            self._ask(decoded, [asked_of(decoded, clip) for clip in decoded.clips], think_below, on_answered): place
            for place, decoded in enumerate(units)
        }
        while asked:
            done, _ = wait(asked, return_when=FIRST_COMPLETED)
            for future in done:
                place = asked.pop(future)
                decoded, by_clip = units[place], found[place]
                if place in others:
                    _sort_in(future.result(), others[place])
                else:
                    for one in future.result():
                        by_clip[int(one.request_id.rpartition("/")[2])][one.question.hash] = one
                    if again := to_be_asked_again(decoded, by_clip):
                        hashes = [again.get(number, ()) for number in range(len(by_clip))]
                        asked[self._ask(decoded, hashes, think_below, on_answered)] = place
                        continue
                    take_over_all(decoded, by_clip, self._audit)
                    if audited := [*self._audit_requests(decoded, by_clip, think_below)]:
                        # Their questions are answered already, and have made room at the engine for others.
                        asked[self._engine.ask(audited)] = place
                        others[place] = {}
                        continue
                add_answers(by_clip, decoded, self._prunes, others.get(place, {}))
                yield place, _answered(decoded, by_clip)

    def num_questions_wanted(self) -> int | None:
        """How many questions at once keep the engine busy; None where it does not tell."""
        num_slots = self._engine.num_slots()
        return None if num_slots is None else QUESTIONS_PER_SLOT * num_slots

    def why_worn(self) -> str | None:
        """Why another process should take this one's place: it has lived or grown enough. Call it after an answer."""
        return None if self._wear is None else self._wear.look()

    def close(self) -> None:
        """Ends the engine's thread."""
        self._engine.close()

    def _ask(
        self,
        decoded: DecodedUnit,
        hashes: Sequence[Sequence[str]],
        think_below: float | None,
        on_answered: Callable[[], None] | None,
    ) -> Future[list[Finished]]:
        """Of each clip the questions with these `hashes`. Requests are named `<unit>/<place of the clip>`."""
        number = next(self._unit_numbers)
        requests = [
            self._request(f"unit-{number}/{place}", decoded, clip, hashes[place], think_below)
            for place, clip in enumerate(decoded.clips)
            if hashes[place]
        ]
        return self._engine.ask(requests, on_answered)

    def _audit_requests(
        self, decoded: DecodedUnit, found: Sequence[dict[str, Finished]], think_below: float | None
    ) -> Iterator[ClipRequest]:
        """Of rows of the audit sample at other levels of pruning. Requests are named `<unit>/<place>/<level>`."""
        if self._prunes is None:
            return
        number = next(self._unit_numbers)
        for place, hashes in audited_of(decoded, found).items():
            for prune in self._prunes.others:
                name = f"unit-{number}/{place}/{prune.level!r}"
                request = self._request(name, decoded, decoded.clips[place], hashes, think_below)
                yield replace(request, prune=prune)

    def _request(
        self,
        name: str,
        decoded: DecodedUnit,
        clip: DecodedClip,
        hashes: Sequence[str],
        think_below: float | None,
    ) -> ClipRequest:
        return ClipRequest(
            id=name,
            frames=clip.frames,
            clip_start_seconds=clip.clip.start_seconds,
            questions=tuple(self._bank[question_hash] for question_hash in hashes),
            key=clip_key(decoded.video.video_id, clip.clip.index),
            given=decoded.given(clip.clip.index),
            think_below=think_below,
        )


def _sort_in(finished: Iterable[Finished], others: dict[tuple[int, float], dict[str, Finished]]) -> None:
    """By place and level, as their requests are named."""
    for one in finished:
        _, place, level = one.request_id.split("/")
        others.setdefault((int(place), float(level)), {})[one.question.hash] = one


def _answered(decoded: DecodedUnit, found: Sequence[dict[str, Finished]]) -> AnsweredUnit:
    clips = zip(decoded.clips, found, strict=True)
    return decoded.answered(_answered_clip(clip, decoded.question_hashes, found) for clip, found in clips)


def _answered_clip(clip: DecodedClip, question_hashes: Sequence[str], found: dict[str, Finished]) -> AnsweredClip:
    """Answers and failures in the order of the questions, whatever the order in which they came."""
    answers: list[Answer] = []
    failures: list[tuple[str, Failure]] = []
    for question_hash in question_hashes:
        one = found[question_hash]
        if one.answer is not None:
            answers.append(one.answer)
            continue
        failure = Failure(
            stage="reason",
            reason=one.failure_reason or EngineError.reason,
            message=one.failure_message or "the engine gave no reason",
        )
        failures.append((question_hash, failure))
    embedding = next((one.clip_embedding for one in found.values() if one.clip_embedding is not None), None)
    steps = next((one.clip_steps for one in found.values() if one.clip_steps is not None), None)
    return clip.answered(answers, failures, embedding, steps)
