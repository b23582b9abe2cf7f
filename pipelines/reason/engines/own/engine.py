"""The default engine: continuous batching over a transformers model, with the gate in the stream.

Waiting clips give their questions to free slots; all running questions advance together, token by token; one that
exits or ends leaves its slot at once, and others move in. A question that thinks simply goes on in its slot. Knows
nothing of Ray, storage or SQL; what a token means for its question is `strategies.sequence`'s, who moves in when
is `scheduler`'s, tensors are `runner`'s.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from framegate.pipelines.reason.engines.failures import fail, is_memory_error
from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.graphs import Capture
from framegate.pipelines.reason.engines.own.runner import Runner
from framegate.pipelines.reason.engines.own.sampler import Chosen
from framegate.pipelines.reason.engines.own.scheduler import Admission
from framegate.pipelines.reason.engines.own.waiting import Row
from framegate.pipelines.reason.engines.poison import is_poisoned
from framegate.pipelines.reason.engines.protocol import ClipRequest, Finished
from framegate.pipelines.reason.engines.times import EngineTimes
from framegate.pipelines.reason.strategies.sequence import GatedSequence, Token
from framegate.schemas.config import FramesConfig, GateConfig
from framegate.schemas.errors import EngineError

# A step of many rows costs a CPU nearly as much per row as one of few; a GPU hardly notices them.
_NUM_SLOTS = {"cpu": 64, "cuda": 512}
_CALM_STEPS = 256  # before an engine that ran out of memory tries twice the width again


class TransformersEngine:
    """Satisfies `pipelines.reason.engines.protocol.Engine`. Greedy decoding.

    `num_slots` bounds the questions that run at once, `memory_bytes` their keys and values; what fits runs. An error
    while a clip is prepared fails that clip's questions, an error while questions advance fails all that run. Out of
    memory, everything that runs begins again at half the width, down to one question, whose clip then fails with
    `memory_limit`. All of it comes back from `step`, and the engine goes on. `sequence_type` says what tokens mean.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        system_prompt: str,
        gate: GateConfig,
        frames: FramesConfig,
        num_slots: int | None = None,
        memory_bytes: int | None = None,
        sequence_type: type[GatedSequence] = GatedSequence,
        capture: Capture | None = None,
    ) -> None:
        """`capture` makes graphs of decode steps; without it CUDA uses its own, and other devices none."""
        self._pieces, self._end_ids = checkpoint.pieces, checkpoint.end_ids
        self._runner = Runner(checkpoint, memory_bytes=memory_bytes, capture=capture)
        self._admission = Admission(
            checkpoint,
            self._runner,
            system_prompt=system_prompt,
            gate=gate,
            frames=frames,
            sequence_type=sequence_type,
        )
        self._running: dict[int, Row] = {}
        self._finished: list[Finished] = []
        self._num_unfinished = 0
        self._num_slots = num_slots or _NUM_SLOTS.get(checkpoint.device.type, _NUM_SLOTS["cpu"])
        self._width = self._num_slots  # less for a while after memory ran out
        self._num_calm_steps = 0

    @property
    def num_unfinished(self) -> int:
        return self._num_unfinished

    @property
    def num_slots(self) -> int:
        """How many questions run at once, at most."""
        return self._num_slots

    @property
    def times(self) -> EngineTimes:
        return self._runner.times

    @property
    def sequences(self) -> list[GatedSequence]:
        """What is running now, in slot order."""
        return [self._running[number].sequence for number in self._runner.residents.numbers]

    def add(self, request: ClipRequest) -> None:
        if request.questions:
            self._admission.add(request)
            self._num_unfinished += len(request.questions)

    def step(self) -> list[Finished]:
        """Fill the free slots, then move every running question one token on.

        Raises what `poison` says that no engine in this process can go on after.
        """
        try:
            self._admit()
            if self._running:
                self._advance()
            self._widen()
        except Exception as error:  # what ran is lost or begins again, the engine goes on
            self._recover(error)
        finished = [*self._finished, *self._admission.failed]
        self._finished, self._admission.failed = [], []
        self._num_unfinished -= len(finished)
        return finished

    def _admit(self) -> None:
        """Let waiting questions into free slots; where slots are many not one by one: each prefill has its price."""
        num_free = self._width - len(self._running)
        if num_free <= 0 or (self._running and num_free < self._width // 16):
            return
        entering = self._admission.choose(num_free, is_idle=not self._running)
        self._running |= entering
        placed = self._admission.prefill(entering)
        for number in entering.keys() - placed.keys():
            del self._running[number]
        if not placed:
            return
        started = time.perf_counter()
        chosen = self._runner.add_rows([self._admission.new_row(number, row) for number, row in placed.items()])
        for row in placed.values():
            row.sequence.engine_seconds += row.clip.share_seconds
        self._take(list(placed), chosen, seconds=time.perf_counter() - started)

    def _advance(self) -> None:
        """One token for every running question."""
        started = time.perf_counter()
        numbers = list(self._runner.residents.numbers)
        rows = [self._running[number] for number in numbers]
        forced = [row.sequence.forced.popleft() if row.sequence.forced else None for row in rows]
        chosen = self._runner.advance([row.next_token for row in rows], forced)
        self._take(numbers, chosen, seconds=time.perf_counter() - started)

    def _take(self, numbers: Sequence[int], chosen: Sequence[Chosen], *, seconds: float) -> None:
        """Give each question its token; those that are finished leave."""
        for number, (token_id, logprob) in zip(numbers, chosen, strict=True):
            row = self._running[number]
            sequence, was_judged = row.sequence, row.sequence.verdict is not None
            ends_turn = token_id in self._end_ids
            row.next_token = token_id
            sequence.engine_seconds += seconds / len(numbers)
            try:
                if math.isnan(logprob):
                    raise EngineError(
                        "the model computed NaN for this question; float16 overflows where bfloat16 does not"
                    )
                sequence.append(Token(token_id, b"" if ends_turn else self._pieces[token_id], logprob, ends_turn))
                answer = sequence.to_answer() if sequence.finish_reason is not None else None
            except Exception as error:  # of this question alone
                self._leave(number, fail(sequence.request_id, sequence.question, error))
                continue
            if answer is not None:
                self._leave(number, Finished(request_id=sequence.request_id, question=sequence.question, answer=answer))
            elif sequence.verdict is not None and not was_judged:
                self._runner.residents.begin_thinking(number)

    def _leave(self, number: int, finished: Finished) -> None:
        """Its slot is free for the next one at once."""
        row = self._running.pop(number)
        self._finished.append(finished)
        self._runner.residents.remove_row(number)
        self._admission.leave(row.clip)

    def _recover(self, error: Exception) -> None:
        """Out of memory: begin again at half the width, or give up a clip that is alone. Else: fail what ran."""
        if is_poisoned(error):
            raise error
        running = list(self._running.values())
        self._running.clear()
        self._num_calm_steps = 0
        if not is_memory_error(error):
            self._finished += [fail(row.clip.request.id, row.sequence.question, error) for row in running]
        elif len(running) > 1 or not all(row.clip.was_alone for row in running):
            # Alone it is tried once more: then no slot is larger than it needs.
            self._width = max(1, len(running) // 2)
            for row in reversed(running):
                row.clip.was_alone = len(running) == 1
                row.clip.waiting.appendleft(row.sequence.question)
        else:
            for row in running:
                self._admission.give_up(row.clip, error, [row.sequence.question])
        self._admission.forget_slots()

    def _widen(self) -> None:
        """After a while without trouble twice the width is tried again, up to all slots."""
        self._num_calm_steps += 1
        if self._width < self._num_slots and self._num_calm_steps % _CALM_STEPS == 0:
            self._width = min(2 * self._width, self._num_slots)
