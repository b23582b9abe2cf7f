"""The default engine: continuous batching over a transformers model, with the gate in the stream.

Waiting clips give their questions to free slots; all running questions advance together, token by token; one that
exits or ends leaves its slot at once, and the next moves in. A question that thinks simply goes on in its slot.
Knows nothing of Ray, storage or SQL; what a token means for its question is `pipelines.reason.sequence`'s.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipelines.reason.engines.checkpoint import Checkpoint
from pipelines.reason.engines.clip_prefix import ClipPrefix, PromptFormat, build_prefix
from pipelines.reason.engines.failures import fail
from pipelines.reason.engines.protocol import ClipRequest, Finished
from pipelines.reason.engines.slots import LayerKV, SlotCache
from pipelines.reason.engines.times import EngineTimes
from pipelines.reason.prompt import FORCED_CLOSING, suffix_after_video
from pipelines.reason.sequence import GatedSequence, Token
from schemas.config import GateConfig
from schemas.decoding import FramesConfig
from schemas.qa import Question


@dataclass(kw_only=True)
class _WaitingClip:
    """A clip whose questions are not all in slots yet. The prefix is run when its first question finds a slot."""

    request: ClipRequest
    questions: deque[Question]
    prefix: ClipPrefix | None = None
    layers: Sequence[LayerKV] = ()
    share_seconds: float = 0.0


@dataclass(kw_only=True)
class _Running:
    """One question in a slot, which is its place in the engine's list.

    `num_cached` tokens are in the cache, the `pending` ones go in with the next pass.
    """

    sequence: GatedSequence
    num_cached: int
    next_position: int
    pending: list[int]


class TransformersEngine:
    """Satisfies `pipelines.reason.engines.protocol.Engine`. Greedy decoding.

    An error while a clip is prepared fails that clip's questions; an error while running questions advance fails all
    of those. Both come back from `step`, and the engine goes on. `sequence_type` says what tokens mean; `times` is for
    reading.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        system_prompt: str,
        gate: GateConfig,
        frames: FramesConfig,
        num_slots: int = 32,
        sequence_type: type[GatedSequence] = GatedSequence,
    ) -> None:
        self._sequence_type = sequence_type
        self.times = EngineTimes()
        self._checkpoint = checkpoint
        self._system_prompt = system_prompt
        self._gate = gate
        self._frames = frames
        self._format = PromptFormat(
            family=checkpoint.family,
            grid=checkpoint.grid,
            positions_per_second=checkpoint.positions_per_second,
            video_token_id=checkpoint.video_token_id,
            encode=checkpoint.encode,
        )
        self._closing = checkpoint.encode(FORCED_CLOSING)
        self._waiting: deque[_WaitingClip] = deque()
        self._running: list[_Running] = []
        self._num_slots = num_slots
        self._cache = SlotCache(num_slots)

    @property
    def num_unfinished(self) -> int:
        return len(self._running) + sum(len(clip.questions) for clip in self._waiting)

    @property
    def sequences(self) -> list[GatedSequence]:
        """What is running now, in slot order."""
        return [row.sequence for row in self._running]

    def add(self, request: ClipRequest) -> None:
        if request.questions:
            self._waiting.append(_WaitingClip(request=request, questions=deque(request.questions)))

    def step(self) -> list[Finished]:
        """Fill the free slots, then move every running question one token on."""
        num_running = len(self._running)
        finished = self._admit()
        if len(self._running) > num_running:
            finished += self._advance(num_running)
        if self._running:
            finished += self._advance(0)
        return finished

    def _admit(self) -> list[Finished]:
        """Place waiting questions after the running ones; what comes back could not be placed."""
        failed: list[Finished] = []
        while self._waiting and len(self._running) < self._num_slots:
            clip = self._waiting[0]
            try:
                if clip.prefix is None:
                    self._prefill_prefix(clip)
                self._place(clip, clip.questions[0])
                clip.questions.popleft()
            except Exception as error:  # whatever it is, it must not take the other clips with it
                failed += [fail(clip.request.id, question, error) for question in clip.questions]
                clip.questions.clear()
            if not clip.questions:
                self._waiting.popleft()
        return failed

    def _prefill_prefix(self, clip: _WaitingClip) -> None:
        started = time.perf_counter()
        clip.prefix = build_prefix(
            clip.request.frames,
            clip.request.clip_start_seconds,
            system_prompt=self._system_prompt,
            prompt_format=self._format,
            limits=self._frames,
            device=self._checkpoint.device,
        )
        clip.layers = self._checkpoint.prefill_prefix(
            clip.prefix.token_ids, clip.prefix.positions_3P, clip.prefix.patches
        )
        clip.share_seconds = (time.perf_counter() - started) / len(clip.questions)

    def _place(self, clip: _WaitingClip, question: Question) -> None:
        assert clip.prefix is not None
        suffix = self._checkpoint.encode(suffix_after_video(question))
        num_cached = len(clip.prefix.token_ids)
        sequence = self._sequence_type(
            request_id=clip.request.id,
            question=question,
            clip_start_seconds=clip.request.clip_start_seconds,
            gate=self._gate,
            closing=self._closing,
            num_prompt_tokens=num_cached + len(suffix),
            num_video_tokens=clip.prefix.num_video_tokens,
        )
        sequence.engine_seconds += clip.share_seconds
        gate = self._gate
        longest = 2 * gate.max_answer_tokens + gate.max_thinking_tokens + len(self._closing)
        self._cache.store_prefix(len(self._running), clip.layers, sequence.num_prompt_tokens + longest)
        self._running.append(
            _Running(sequence=sequence, num_cached=num_cached, next_position=clip.prefix.next_position, pending=suffix)
        )

    def _advance(self, first: int) -> list[Finished]:
        """Run the pending tokens of the rows from `first` on and give each row its next token."""
        started = time.perf_counter()
        rows = self._running[first:]
        try:
            chosen = self._choose(first)
        except Exception as error:  # the batch is lost, the engine is not
            del self._running[first:]
            return [fail(row.sequence.request_id, row.sequence.question, error) for row in rows]
        for row, (token_id, logprob) in zip(rows, chosen, strict=True):
            ends_turn = token_id in self._checkpoint.end_ids
            piece = b"" if ends_turn else self._checkpoint.pieces[token_id]
            row.num_cached += len(row.pending)
            row.next_position += len(row.pending)
            row.pending = [token_id]
            row.sequence.append(Token(token_id, piece, logprob, ends_turn))
        share_seconds = (time.perf_counter() - started) / len(rows)
        for row in rows:
            row.sequence.engine_seconds += share_seconds
        return self._release_finished()

    def _choose(self, first: int) -> list[tuple[int, float]]:
        """For each row from `first` on its next token, forced or the likeliest, with its log-probability."""
        rows = self._running[first:]
        num_new = max(len(row.pending) for row in rows)
        padding = [[0] * (num_new - len(row.pending)) for row in rows]
        token_ids_BT = self._tensor([row.pending + pad for row, pad in zip(rows, padding, strict=True)])
        positions_BT = self._tensor([row.next_position for row in rows])[:, None] + torch.arange(
            num_new, device=self._checkpoint.device
        )
        view = self._cache.open(first, [row.num_cached for row in rows], num_new)
        logits_BV = self._checkpoint.run_text(
            token_ids_BT, positions_BT, self._tensor([len(row.pending) - 1 for row in rows]), view
        )
        chosen_B = logits_BV.argmax(dim=-1)
        for index, row in enumerate(rows):
            if row.sequence.forced:
                chosen_B[index] = row.sequence.forced.popleft()
        logprobs_B = logits_BV.gather(1, chosen_B[:, None])[:, 0] - logits_BV.logsumexp(dim=-1)
        ids, logprobs = torch.stack([chosen_B.float(), logprobs_B.clamp(max=0.0)]).tolist()
        return [(int(token_id), logprob) for token_id, logprob in zip(ids, logprobs, strict=True)]

    def _release_finished(self) -> list[Finished]:
        """Hand over what is finished; the last running row moves into each slot that falls free."""
        finished: list[Finished] = []
        for slot in reversed(range(len(self._running))):
            sequence = self._running[slot].sequence
            if sequence.finish_reason is None:
                continue
            finished.append(
                Finished(request_id=sequence.request_id, question=sequence.question, answer=sequence.to_answer())
            )
            last = self._running.pop()
            if slot < len(self._running):
                self._cache.move(len(self._running), slot, last.num_cached)
                self._running[slot] = last
        return finished

    def _tensor(self, values: list[int] | list[list[int]]) -> torch.Tensor:
        return torch.tensor(values, device=self._checkpoint.device)
