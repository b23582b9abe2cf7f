"""Think and answer again where the first answer is unsure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from framegate.pipelines.reason.strategies.inner import go_on
from framegate.pipelines.reason.strategies.protocol import (
    Ask,
    Capability,
    ClipFrames,
    FinishedAsk,
    Strategy,
    TokenBudget,
)
from framegate.pipelines.reason.strategies.ruling import Decide, FirstAnswer, Ruling
from framegate.pipelines.reason.strategies.two_answers import TwoAnswers
from framegate.schemas.audit_sample import AuditSample
from framegate.schemas.errors import EngineError
from framegate.schemas.gate_reason import AUDIT, DEFERRED
from framegate.schemas.qa import Answer, Question, Verdict


def judge(first: FirstAnswer, confidence: float | None, threshold: float, *, is_audited: bool = False) -> Verdict:
    """Exit with a box whose confidence reaches the threshold; think about everything else, and about audited rows.

    first answer   confidence        route   reason
    box            >= threshold      exit    confident      of the audit sample: think, audit
    box            <  threshold      think   unsure
    empty_box      None              think   empty_box
    no_box         None              think   no_box
    fallback       None              think   fallback
    """
    if (confidence is None) == (first == "box"):
        raise ValueError(f"a box has a confidence and nothing else has one, got {first} with {confidence}")
    if first != "box":
        return Verdict(route="think", reason=first, confidence=None)
    assert confidence is not None
    if confidence >= threshold:
        if is_audited:
            return Verdict(route="think", reason=AUDIT, confidence=confidence)
        return Verdict(route="exit", reason="confident", confidence=confidence)
    return Verdict(route="think", reason="unsure", confidence=confidence)


def defer(first: FirstAnswer, confidence: float | None, *, decide: Decide, below: float) -> Verdict:
    """Exit where `decide` would think and the confidence is not `below`, and say so. Whatever is not a matter of
    confidence thinks, the audit sample too, unless nothing does: `below` is 0."""
    verdict = decide(first, confidence)
    if verdict.route == "exit":
        return verdict
    unsure = verdict.confidence if verdict.reason == "unsure" else None
    if below > 0 and (unsure is None or unsure < below):
        return verdict
    return Verdict(route="exit", reason=DEFERRED, confidence=verdict.confidence)


@dataclass(frozen=True, kw_only=True)
class Gated(TwoAnswers):
    """`threshold` is of questions that have none of their own, nor one by their hash in `by_question`. None: it is not
    settled yet, and no such question can be judged.

    Neither it nor `audit` is part of `document`. They decide whether to think and are columns of each row; a row that
    was answered under others stays as it was. `defers`: no row thinks; those that would are let go as deferred, of the
    audit sample and of questions with `think: always`, too.

    `inner`: rows that are to think are asked anew by it, with asks of their own; None: their sequence goes on.
    """

    threshold: float | None
    audit: AuditSample | None = None
    by_question: tuple[tuple[str, float], ...] = ()
    defers: bool = False
    inner: Strategy | None = None

    @property
    def name(self) -> str:
        return "gated"

    @property
    def decide(self) -> Decide:
        if self.threshold is None:
            raise EngineError("the gate's threshold is not settled")
        return partial(judge, threshold=self.threshold)

    @property
    def needs(self) -> frozenset[Capability]:
        return super().needs | (self.inner.needs if self.inner else frozenset())

    @property
    def hands_on(self) -> bool:
        return self.inner is not None

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Sequence[Ask] | Answer | None:
        first = self.answer_of(finished[:1])
        return first if self.inner is None else go_on(self.inner, first, finished, num_open)

    def budgets(self, question: Question) -> Sequence[TokenBudget]:
        """With an inner strategy: a first answer, and its own."""
        if self.inner is None or not self._may_think(question):
            return super().budgets(question)
        return [TokenBudget(num_tokens=self.max_answer_tokens), *self.inner.budgets(question)]

    def document(self) -> dict[str, Any]:
        own = super().document()
        return own if self.inner is None else {**own, "inner": self.inner.document()}

    def ruling(self, clip: ClipFrames, question: Question) -> Ruling:
        """A clip without a key is in no audit sample, nor is one that is pruned otherwise than the job says."""
        ruling = self._ruling(clip, question)
        below = 0.0 if self.defers else clip.think_below
        return ruling if below is None else replace(ruling, decide=partial(defer, decide=ruling.decide, below=below))

    def _ruling(self, clip: ClipFrames, question: Question) -> Ruling:
        if question.think != "auto":
            return super().ruling(clip, question)
        threshold = self.threshold_of(question)
        if threshold is None:
            raise EngineError(f"the threshold of '{question.id}' is not settled")
        audit = self.audit if clip.key and clip.prune is None else None
        rank = audit.rank_if_in(clip.key, question.hash) if audit else None
        return Ruling(
            decide=partial(judge, threshold=threshold, is_audited=rank is not None),
            threshold=threshold,
            audit_rank=rank,
            audit_rate=audit.rate if audit else None,
        )

    def _may_think(self, question: Question) -> bool:
        """Known before the threshold is settled."""
        return question.think != "never" and not self.defers

    def threshold_of(self, question: Question) -> float | None:
        """What its first answers are held against; None: that is not settled."""
        if question.threshold is not None:
            return question.threshold
        return next((one for question_hash, one in self.by_question if question_hash == question.hash), self.threshold)
