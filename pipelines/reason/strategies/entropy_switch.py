"""Gated, and where the model thinks its entropy is steered: up before its peak, down after it.

Our reconstruction of V-Reason and V-Reason-Lite (training-free, arXiv 2510.17045), and not their authors' code: the
published method leaves open how the controller is optimised, at which rate and how often. What is ours: one step along
the gradient at a time, whose length is a share of the norm of the values; when the peak counts as passed; all defaults;
and that Lite hides tokens from the thought alone, in all layers, by the norms of their values in the last one.

    entropies of the thought ──> moving average ──> rises: more entropy │ falls, or its peak is passed: less
                                                       └── after each `every` tokens ──> values of the video change
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

from framegate.pipelines.reason.strategies.deepened import Deepened
from framegate.pipelines.reason.strategies.entropy_trace import EntropyTrace
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import (
    Ask,
    Capability,
    ClipFrames,
    Course,
    FinishedAsk,
    Token,
    ValueControl,
)
from framegate.schemas.config.entropy import EntropyMode
from framegate.schemas.errors import EngineError
from framegate.schemas.qa import Answer, Question

LITE_KEEPS = 0.5


@dataclass(frozen=True, kw_only=True)
class Steering:
    """As `schemas.config.entropy.EntropyConfig`."""

    mode: EntropyMode
    rate: float
    every: int
    smoothing: float
    patience: int
    lite: bool

    @property
    def control(self) -> ValueControl | None:
        """What is asked of the engine; None: nothing, and thoughts are those of a gated row."""
        rate = 0.0 if self.mode == "off" else self.rate
        return ValueControl(rate=rate, keep=LITE_KEEPS if self.lite else 1.0) if rate or self.lite else None

    def sign(self, trace: EntropyTrace) -> Literal[-1, 0, 1]:
        """Which way the entropy of the token behind this trace shall go, by `mode`: 0 but after each `every` tokens."""
        if self.mode == "off" or trace.num_tokens == 0 or trace.num_tokens % self.every:
            return 0
        if self.mode == "switch":
            return 1 if trace.is_rising and not trace.is_past_peak else -1
        return 1 if self.mode == "maximise" else -1


@dataclass(frozen=True, kw_only=True)
class EntropySwitch(Gated):
    """First answers, verdicts, audits, budgets and deferred rows are those of `Gated`. `inner` is None."""

    steering: Steering

    @property
    def name(self) -> str:
        return "entropy_switch"

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"distribution", "value_cache"})

    def begin(self, clip: ClipFrames, question: Question) -> Sequence[Ask]:
        asks = super().begin(clip, question)
        return [self._steer(ask) for ask in asks] if self._may_think(question) else asks

    def after(self, finished: Sequence[FinishedAsk], num_open: int) -> Sequence[Ask] | Answer | None:
        (one,) = finished
        course = one.course
        if not isinstance(course, SteeredThought):
            return super().after(finished, num_open)
        answer = super().after([replace(one, course=course.inner)], num_open)
        assert isinstance(answer, Answer), "there is no inner strategy"
        return replace(answer, entropy_peak_token=course.trace.peak_token, entropy_final=course.trace.average)

    def document(self) -> dict[str, Any]:
        return {**super().document(), "entropy": asdict(self.steering)}

    def _steer(self, ask: Ask) -> Ask:
        return replace(
            ask,
            make_course=partial(SteeredThought, ask.make_course, self.steering),
            needs_distribution=True,
            until_thinking=False,
            value_control=self.steering.control,
        )


@dataclass(frozen=True, kw_only=True)
class DeepenedEntropySwitch(EntropySwitch, Deepened):
    """Goes on from first answers that are there, and steers as the job has it."""


class SteeredThought:
    """A course with a trace of the entropies of its thought. Tokens that are forced are not among them: they are no
    choice of the model's."""

    def __init__(self, make_inner: Callable[[], Course], steering: Steering) -> None:
        self.inner = make_inner()
        self.forced = self.inner.forced
        self.trace = EntropyTrace(smoothing=steering.smoothing, patience=steering.patience)
        self._steering = steering
        self._is_steered = False  # the next token is one of thought, and of the model's choice

    @property
    def is_over(self) -> bool:
        return self.inner.is_over

    @property
    def is_thinking(self) -> bool:
        return self.inner.is_thinking

    @property
    def entropy_sign(self) -> Literal[-1, 0, 1]:
        return self._steering.sign(self.trace) if self._is_steered else 0

    def start(self, encoded: Mapping[str, Sequence[int]]) -> None:
        self.inner.start(encoded)

    def append(self, token: Token) -> None:
        if self._is_steered:
            if token.entropy is None:
                raise EngineError("the engine gives no entropy of a token, which the strategy entropy_switch needs")
            self.trace.add(token.entropy)
        self.inner.append(token)
        self._is_steered = self.inner.is_thinking and not self.forced
