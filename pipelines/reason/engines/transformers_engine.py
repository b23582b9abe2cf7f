"""The default engine: continuous batching over a transformers model, with the gate in the stream.

Waiting clips give their questions to free slots; all running questions advance together, token by token; one that
exits or ends leaves its slot at once, and others move in. A question that thinks simply goes on in its slot. Knows
nothing of Ray, storage or SQL; what a token means for its question is `pipelines.reason.sequence`'s, tensors are
`pipelines.reason.engines.runner`'s.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pipelines.reason.engines.checkpoint import Checkpoint
from pipelines.reason.engines.clip_prefix import ClipPrefix, PromptFormat, build_prefix
from pipelines.reason.engines.failures import fail, is_memory_error
from pipelines.reason.engines.protocol import ClipRequest, Finished
from pipelines.reason.engines.runner import Chosen, NewRow, Runner
from pipelines.reason.engines.times import EngineTimes
from pipelines.reason.prompt import FORCED_CLOSING, suffix_after_video
from pipelines.reason.sequence import GatedSequence, Token
from schemas.config import GateConfig
from schemas.decoding import FramesConfig
from schemas.qa import Question

# A step of many rows costs a CPU nearly as much per row as one of few; a GPU hardly notices them.
_NUM_SLOTS = {"cpu": 64, "cuda": 512}
# Prefixes that are run together. Beyond this the device is as busy as it gets.
_PREFILL_TOKENS = {"cpu": 1024, "cuda": 8192}
_CALM_STEPS = 256


@dataclass(kw_only=True)
class _Clip:
    """A clip with questions that have not come back; `prefix` is there from layout until it has been run."""

    number: int
    request: ClipRequest
    waiting: deque[Question]
    num_running: int = 0
    prefix: ClipPrefix | None = None
    is_placed: bool = False
    num_prefix_tokens: int = 0
    num_video_tokens: int = 0
    share_seconds: float = 0.0


@dataclass(kw_only=True)
class _Running:
    """One question in a slot; `next_token` goes in with the next step."""

    clip: _Clip
    sequence: GatedSequence
    suffix: Sequence[int]
    next_token: int = -1


class TransformersEngine:
    """Satisfies `pipelines.reason.engines.protocol.Engine`. Greedy decoding.

    `num_slots` bounds the questions that run at once, `memory_bytes` their keys and values; what fits runs. An error
    while a clip is prepared fails that clip's questions, an error while questions advance fails all that run. Out of
    memory, everything that runs begins again at half the width, down to one question, which then fails with
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
    ) -> None:
        device_type = checkpoint.device.type
        self._checkpoint = checkpoint
        self._system_prompt = system_prompt
        self._gate = gate
        self._frames = frames
        self._sequence_type = sequence_type
        self._num_slots = num_slots or _NUM_SLOTS.get(device_type, _NUM_SLOTS["cpu"])
        self._width = self._num_slots  # less for a while after memory ran out
        self._num_calm_steps = 0
        self._prefill_tokens = _PREFILL_TOKENS.get(device_type, _PREFILL_TOKENS["cpu"])
        self._format = PromptFormat(
            family=checkpoint.family,
            grid=checkpoint.grid,
            positions_per_second=checkpoint.positions_per_second,
            video_token_id=checkpoint.video_token_id,
            encode=checkpoint.encode,
        )
        self._encode_suffix = lru_cache(maxsize=1024)(lambda question: checkpoint.encode(suffix_after_video(question)))
        self._closing = checkpoint.encode(FORCED_CLOSING)
        self._runner = Runner(checkpoint, memory_bytes=memory_bytes)
        self._numbers = itertools.count()
        self._clips: dict[int, _Clip] = {}
        self._running: dict[int, _Running] = {}
        self._finished: list[Finished] = []
        self._num_unfinished = 0

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
        return [self._running[number].sequence for number in self._runner.rows]

    def add(self, request: ClipRequest) -> None:
        if not request.questions:
            return
        number = next(self._numbers)
        self._clips[number] = _Clip(number=number, request=request, waiting=deque(request.questions))
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
        finished, self._finished = self._finished, []
        self._num_unfinished -= len(finished)
        return finished

    def _admit(self) -> None:
        """Let waiting questions into free slots; where slots are many not one by one: each prefill has its price."""
        num_free = self._width - len(self._running)
        if num_free <= 0 or (self._running and num_free < self._width // 16):
            return
        entering: dict[int, _Running] = {}
        for clip in list(self._clips.values()):
            if len(entering) == num_free or (clip.waiting and not self._enter(clip, entering, num_free)):
                break
        self._running |= entering
        self._place_clips([row.clip for row in entering.values()])
        entering = {number: row for number, row in entering.items() if number in self._running}
        if not entering:
            return
        started = time.perf_counter()
        chosen = self._runner.add_rows(
            [
                NewRow(
                    number=number,
                    clip=row.clip.number,
                    token_ids=row.suffix,
                    max_tokens=self._max_own_tokens(row.suffix),
                )
                for number, row in entering.items()
            ]
        )
        for row in entering.values():
            row.sequence.engine_seconds += row.clip.share_seconds
        self._take(list(entering), chosen, seconds=time.perf_counter() - started)

    def _enter(self, clip: _Clip, entering: dict[int, _Running], num_free: int) -> bool:
        """Let as many of a clip's questions in as fit; whether there may be room for more."""
        if clip.prefix is None and not clip.is_placed:
            try:
                self._lay_out(clip)
            except Exception as error:  # whatever it is, it must not take other clips with it
                self._fail_clip(clip, error)
                return True
        while clip.waiting and len(entering) < num_free:
            suffix = self._encode_suffix(clip.waiting[0])
            if not self._fits(clip, suffix, entering):
                if self._running or entering:
                    return False
                self._fail_clip(clip, MemoryError("keys and values of one question alone are above the memory budget"))
                return True
            clip.num_running += 1
            entering[next(self._numbers)] = _Running(
                clip=clip,
                suffix=suffix,
                sequence=self._sequence_type(
                    request_id=clip.request.id,
                    question=clip.waiting.popleft(),
                    clip_start_seconds=clip.request.clip_start_seconds,
                    gate=self._gate,
                    closing=self._closing,
                    num_prompt_tokens=clip.num_prefix_tokens + len(suffix),
                    num_video_tokens=clip.num_video_tokens,
                ),
            )
        return True

    def _lay_out(self, clip: _Clip) -> None:
        started = time.perf_counter()
        clip.prefix = build_prefix(
            clip.request.frames,
            clip.request.clip_start_seconds,
            system_prompt=self._system_prompt,
            prompt_format=self._format,
            limits=self._frames,
            device=self._checkpoint.device,
        )
        clip.num_prefix_tokens = len(clip.prefix.token_ids)
        clip.num_video_tokens = clip.prefix.num_video_tokens
        seconds = time.perf_counter() - started
        clip.share_seconds = seconds / len(clip.request.questions)
        self.times.vision_seconds += seconds

    def _fits(self, clip: _Clip, suffix: Sequence[int], entering: Mapping[int, _Running]) -> bool:
        clips = {row.clip.number: row.clip for row in entering.values()} | {clip.number: clip}
        new = [clip for clip in clips.values() if not clip.is_placed]
        suffixes = [suffix, *(row.suffix for row in entering.values())]
        sizes = {
            "num_rows": len(suffixes),
            "row_tokens": max(map(self._max_own_tokens, suffixes)),
            "num_clips": len(new),
            "clip_tokens": max((clip.num_prefix_tokens for clip in new), default=0),
        }
        if not self._running and not entering and not self._runner.fits(**sizes):
            self._forget_slots()  # slots are as large as the largest that ever ran in them
        return self._runner.fits(**sizes)

    def _max_own_tokens(self, suffix: Sequence[int]) -> int:
        """Two answers, thinking and the forced closing behind the question's own tokens."""
        gate = self._gate
        return len(suffix) + 2 * gate.max_answer_tokens + gate.max_thinking_tokens + len(self._closing)

    def _place_clips(self, clips: Sequence[_Clip]) -> None:
        """See and run the prefixes that have not been run, some at a time."""
        together: dict[int, _Clip] = {}
        num_tokens = 0
        for clip in {clip.number: clip for clip in clips if not clip.is_placed}.values():
            if together and num_tokens + clip.num_prefix_tokens > self._prefill_tokens:
                self._prefill(together)
                together, num_tokens = {}, 0
            together[clip.number] = clip
            num_tokens += clip.num_prefix_tokens
        if together:
            self._prefill(together)

    def _prefill(self, clips: dict[int, _Clip]) -> None:
        started = time.perf_counter()
        prefixes = {number: clip.prefix for number, clip in clips.items() if clip.prefix is not None}
        try:
            self._runner.add_clips(prefixes)
        except Exception as error:
            if is_memory_error(error):
                raise
            if len(clips) == 1:
                self._fail_clip(next(iter(clips.values())), error)
                return
            for number, clip in clips.items():  # which of them it was shows when each is run alone
                self._prefill({number: clip})
            return
        share_seconds = (time.perf_counter() - started) / len(clips)
        for clip in clips.values():
            clip.is_placed, clip.prefix = True, None
            clip.share_seconds += share_seconds / len(clip.request.questions)

    def _advance(self) -> None:
        """One token for every running question."""
        started = time.perf_counter()
        numbers = list(self._runner.rows)
        rows = [self._running[number] for number in numbers]
        forced = [row.sequence.forced.popleft() if row.sequence.forced else None for row in rows]
        chosen = self._runner.advance([row.next_token for row in rows], forced)
        self._take(numbers, chosen, seconds=time.perf_counter() - started)

    def _take(self, numbers: Sequence[int], chosen: Sequence[Chosen], *, seconds: float) -> None:
        """Give each question its token; those that are finished leave."""
        for number, (token_id, logprob) in zip(numbers, chosen, strict=True):
            row = self._running[number]
            ends_turn = token_id in self._checkpoint.end_ids
            piece = b"" if ends_turn else self._checkpoint.pieces[token_id]
            was_judged = row.sequence.verdict is not None
            row.next_token = token_id
            row.sequence.engine_seconds += seconds / len(numbers)
            row.sequence.append(Token(token_id, piece, logprob, ends_turn))
            if row.sequence.finish_reason is not None:
                self._leave(number)
            elif row.sequence.verdict is not None and not was_judged:
                self._runner.begin_thinking(number)

    def _leave(self, number: int) -> None:
        row = self._running.pop(number)
        sequence, clip = row.sequence, row.clip
        self._finished.append(
            Finished(request_id=sequence.request_id, question=sequence.question, answer=sequence.to_answer())
        )
        self._runner.remove_row(number)
        clip.num_running -= 1
        if not clip.waiting and not clip.num_running:
            self._runner.remove_clip(clip.number)
            del self._clips[clip.number]

    def _fail_clip(self, clip: _Clip, error: Exception) -> None:
        """A clip that no row in a slot asks about comes to nothing, with all of its questions."""
        entering = [number for number, row in self._running.items() if row.clip is clip]
        questions = [self._running.pop(number).sequence.question for number in entering]
        self._finished += [fail(clip.request.id, question, error) for question in (*questions, *clip.waiting)]
        del self._clips[clip.number]

    def _recover(self, error: Exception) -> None:
        """Out of memory: begin again at half the width, or give up a clip that is alone. Else: fail what ran."""
        running = list(self._running.values())
        self._running.clear()
        self._forget_slots()
        self._num_calm_steps = 0
        if is_memory_error(error):
            self._width = max(1, len(running) // 2)
            for row in reversed(running):
                row.clip.waiting.appendleft(row.sequence.question)
            if len(running) == 1:
                self._fail_clip(running[0].clip, error)
            return
        for row in running:
            self._finished.append(fail(row.clip.request.id, row.sequence.question, error))
            if not row.clip.waiting:
                self._clips.pop(row.clip.number, None)

    def _forget_slots(self) -> None:
        self._runner.clear()
        for clip in self._clips.values():
            clip.num_running, clip.is_placed = 0, False

    def _widen(self) -> None:
        """After a while without trouble twice the width is tried again, up to all slots."""
        self._num_calm_steps += 1
        if self._width < self._num_slots and self._num_calm_steps % _CALM_STEPS == 0:
            self._width = min(2 * self._width, self._num_slots)
