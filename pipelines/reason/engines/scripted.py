"""An engine without weights: a function says what the model writes, everything after that is real.

It drives the same `Sequence` as the transformers engine, so gate, budgets, forced closing and parsing are those of a
real run. For tests of the flow and for trying out a job.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING
from framegate.pipelines.reason.engines.failures import fail
from framegate.pipelines.reason.engines.protocol import ClipRequest, Finished
from framegate.pipelines.reason.strategies.sequence import GatedSequence, Token
from framegate.schemas.config import GateConfig
from framegate.schemas.qa import Question

Script = Callable[[ClipRequest, Question], Sequence[tuple[str, float]]]
"""What the model writes for one question: (text, log-probability) per token; after the last it ends its turn."""


def say_yes(request: ClipRequest, question: Question) -> Sequence[tuple[str, float]]:
    """The simplest script: a sure yes, or the first option, or a 1, or the clip's first second."""
    content = {"choice": "A", "number": "1", "span": "[0, 1]"}.get(question.type, "yes")
    return [("\\boxed{", -0.001), (content, -0.001), ("}", -0.001)]


class ScriptedEngine:
    """Satisfies `pipelines.reason.engines.protocol.Engine`; each step moves every open question one token on.

    `num_requests` and `num_tokens` count what was asked of it.
    """

    def __init__(self, script: Script = say_yes, *, gate: GateConfig | None = None) -> None:
        self._script = script
        self._gate = gate or GateConfig()
        self._running: deque[tuple[GatedSequence, Iterator[Token]]] = deque()
        self._failed: list[Finished] = []
        self.num_requests = 0
        self.num_tokens = 0

    @property
    def num_unfinished(self) -> int:
        return len(self._running) + len(self._failed)

    def add(self, request: ClipRequest) -> None:
        """Take a request. A script that raises fails its question, as an engine's own error would."""
        self.num_requests += 1
        for question in request.questions:
            try:
                written = self._script(request, question)
            except Exception as error:
                self._failed.append(fail(request.id, question, error))
                continue
            sequence = GatedSequence(
                request_id=request.id,
                question=question,
                clip_start_seconds=request.clip_start_seconds,
                gate=self._gate,
                closing=[0],
                num_prompt_tokens=len(request.frames) + len(question.text.split()),
                num_video_tokens=len(request.frames),
            )
            self._running.append((sequence, _as_tokens(written)))

    def step(self) -> list[Finished]:
        finished, self._failed = self._failed, []
        for _ in range(len(self._running)):
            sequence, tokens = self._running.popleft()
            if sequence.forced:
                sequence.append(Token(sequence.forced.popleft(), FORCED_CLOSING.encode(), 0.0))
            else:
                sequence.append(next(tokens))
            self.num_tokens += 1
            if sequence.finish_reason is None:
                self._running.append((sequence, tokens))
                continue
            finished.append(
                Finished(request_id=sequence.request_id, question=sequence.question, answer=sequence.to_answer())
            )
        return finished


def _as_tokens(written: Sequence[tuple[str, float]]) -> Iterator[Token]:
    for index, (text, logprob) in enumerate(written, start=1):
        yield Token(index, text.encode(), logprob)
    while True:
        yield Token(0, b"", 0.0, ends_turn=True)
