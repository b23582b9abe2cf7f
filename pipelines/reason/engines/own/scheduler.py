"""Which waiting questions move into free slots, and the prefixes that they need first.

Clips wait in the order in which they came. One is laid out when its first question may enter, run once together with
others, and forgotten when its last question has gone. Knows nothing of what happens to a question in its slot.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING, suffix_after_video
from framegate.pipelines.reason.engines.failures import fail, is_memory_error
from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
from framegate.pipelines.reason.engines.own.runner import NewRow, Runner
from framegate.pipelines.reason.engines.own.waiting import Clip, Row
from framegate.pipelines.reason.engines.protocol import ClipRequest, Finished
from framegate.pipelines.reason.models.clip_prefix import PromptFormat, build_prefix
from framegate.pipelines.reason.strategies.sequence import GatedSequence
from framegate.schemas.config import FramesConfig, GateConfig
from framegate.schemas.qa import Question

# Prefixes that are run together. Beyond this the device is as busy as it gets.
_PREFILL_TOKENS = {"cpu": 1024, "cuda": 8192}


class Admission:
    """The clips of one engine. What fails on its way in is put into `failed`, for the engine to hand over."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        runner: Runner,
        *,
        system_prompt: str,
        gate: GateConfig,
        frames: FramesConfig,
        sequence_type: type[GatedSequence],
    ) -> None:
        self.failed: list[Finished] = []
        self._clips: dict[int, Clip] = {}
        self._numbers = itertools.count()
        self._runner = runner
        self._device = checkpoint.device
        self._system_prompt = system_prompt
        self._gate = gate
        self._frames = frames
        self._sequence_type = sequence_type
        self._prefill_tokens = _PREFILL_TOKENS.get(checkpoint.device.type, _PREFILL_TOKENS["cpu"])
        self._format = PromptFormat(
            family=checkpoint.family,
            grid=checkpoint.grid,
            positions_per_second=checkpoint.positions_per_second,
            video_token_id=checkpoint.video_token_id,
            encode=checkpoint.encode,
        )
        # A job asks the same few questions of every clip.
        self._encode_suffix = lru_cache(maxsize=1024)(lambda question: checkpoint.encode(suffix_after_video(question)))
        self._closing = checkpoint.encode(FORCED_CLOSING)

    def add(self, request: ClipRequest) -> None:
        number = next(self._numbers)
        self._clips[number] = Clip(number=number, request=request, waiting=deque(request.questions))

    def choose(self, num_free: int, *, is_idle: bool) -> dict[int, Row]:
        """Take as many questions off the queue as there are free slots and memory; by numbers of their own.

        `is_idle`: nothing runs, so that what does not fit now never will.
        """
        entering: dict[int, Row] = {}
        for clip in list(self._clips.values()):
            if len(entering) == num_free:
                break
            if clip.waiting and not self._enter(clip, entering, num_free, is_idle=is_idle):
                break
        return entering

    def prefill(self, rows: Mapping[int, Row]) -> dict[int, Row]:
        """See and run the prefixes that these rows need and that have not been run; the rows that may go on.

        Where a prefix cannot be run its clip is given up. Raises when memory does not suffice.
        """
        clips = {row.clip.number: row.clip for row in rows.values() if not row.clip.is_placed}
        errors: dict[int, Exception] = {}
        together: dict[int, Clip] = {}
        for number, clip in clips.items():
            num_tokens = sum(other.num_prefix_tokens for other in together.values())
            if together and num_tokens + clip.num_prefix_tokens > self._prefill_tokens:
                errors |= self._prefill(together)
                together = {}
            together[number] = clip
        if together:
            errors |= self._prefill(together)
        for number, error in errors.items():
            self.give_up(
                clips[number], error, [row.sequence.question for row in rows.values() if row.clip.number == number]
            )
        return {number: row for number, row in rows.items() if row.clip.is_placed}

    def new_row(self, number: int, row: Row) -> NewRow:
        """What the runner must know of a row whose clip has been run."""
        max_tokens = self._max_own_tokens(row.sequence.question, row.suffix)
        return NewRow(number=number, clip=row.clip.number, token_ids=row.suffix, max_tokens=max_tokens)

    def leave(self, clip: Clip) -> None:
        """One of the clip's rows has gone from its slot."""
        clip.num_running -= 1
        if not clip.waiting and not clip.num_running:
            self._forget(clip)

    def forget_slots(self) -> None:
        """Empty every slot: no row runs, and clips are laid out anew when their next question enters."""
        self._runner.clear()
        for clip in self._clips.values():
            clip.num_running, clip.is_placed, clip.prefix = 0, False, None
        self._clips = {number: clip for number, clip in self._clips.items() if clip.waiting}

    def give_up(self, clip: Clip, error: Exception, questions: Iterable[Question] = ()) -> None:
        """A clip comes to nothing, with all questions that wait, and with `questions`, which do no more."""
        self.failed += [fail(clip.request.id, question, error) for question in (*questions, *clip.waiting)]
        clip.waiting.clear()
        self._clips.pop(clip.number, None)

    def _enter(self, clip: Clip, entering: dict[int, Row], num_free: int, *, is_idle: bool) -> bool:
        """Let as many of a clip's questions in as fit; whether there may be room for more."""
        if clip.prefix is None and not clip.is_placed:
            try:
                self._lay_out(clip)
            except Exception as error:  # whatever it is, it must not take other clips with it
                if is_memory_error(error) and (entering or not is_idle):
                    return False  # there is room once others have gone
                self.give_up(clip, error)
                return True
        while clip.waiting and len(entering) < num_free:
            try:
                suffix = self._encode_suffix(clip.waiting[0])
            except Exception as error:  # a text that is none
                self.failed.append(fail(clip.request.id, clip.waiting.popleft(), error))
                continue
            if not self._fits(clip, suffix, entering, is_idle=is_idle):
                if entering or not is_idle:
                    return False
                self.give_up(clip, MemoryError("keys and values of one question are above the engine's memory budget"))
                return True
            clip.num_running += 1
            sequence = self._sequence_type(
                request_id=clip.request.id,
                question=clip.waiting.popleft(),
                clip_start_seconds=clip.request.clip_start_seconds,
                gate=self._gate,
                closing=self._closing,
                num_prompt_tokens=clip.num_prefix_tokens + len(suffix),
                num_video_tokens=clip.num_video_tokens,
            )
            entering[next(self._numbers)] = Row(clip=clip, suffix=suffix, sequence=sequence)
        if not clip.waiting and not clip.num_running:
            self._forget(clip)
        return True

    def _forget(self, clip: Clip) -> None:
        """Nothing is left to be asked of it."""
        if clip.is_placed:
            self._runner.residents.remove_clip(clip.number)
        del self._clips[clip.number]

    def _lay_out(self, clip: Clip) -> None:
        started = time.perf_counter()
        clip.prefix = build_prefix(
            clip.request.frames,
            clip.request.clip_start_seconds,
            system_prompt=self._system_prompt,
            prompt_format=self._format,
            limits=self._frames,
            device=self._device,
        )
        clip.num_prefix_tokens = len(clip.prefix.token_ids)
        clip.num_video_tokens = clip.prefix.num_video_tokens
        seconds = time.perf_counter() - started
        clip.share_seconds = seconds / len(clip.request.questions)
        self._runner.times.vision_seconds += seconds

    def _fits(self, clip: Clip, suffix: Sequence[int], entering: Mapping[int, Row], *, is_idle: bool) -> bool:
        if self._is_in_budget(clip, suffix, entering):
            return True
        if not is_idle or entering:
            return False
        self.forget_slots()  # slots are as large as the largest that ever ran in them
        self._lay_out(clip)
        return self._is_in_budget(clip, suffix, entering)

    def _is_in_budget(self, clip: Clip, suffix: Sequence[int], entering: Mapping[int, Row]) -> bool:
        clips = {row.clip.number: row.clip for row in entering.values()} | {clip.number: clip}
        new = [clip for clip in clips.values() if not clip.is_placed]
        lengths = [self._max_own_tokens(row.sequence.question, row.suffix) for row in entering.values()]
        return self._runner.residents.fits(
            num_rows=len(entering) + 1,
            row_tokens=max([self._max_own_tokens(clip.waiting[0], suffix), *lengths]),
            num_clips=len(new),
            clip_tokens=max((clip.num_prefix_tokens for clip in new), default=0),
        )

    def _max_own_tokens(self, question: Question, suffix: Sequence[int]) -> int:
        """The question's own tokens and its answer; where it may think also thoughts, the forced closing, an answer."""
        gate = self._gate
        most = len(suffix) + gate.max_answer_tokens
        if question.think == "never" or (gate.strategy == "direct" and question.think != "always"):
            return most
        return most + gate.max_thinking_tokens + len(self._closing) + gate.max_answer_tokens

    def _prefill(self, clips: Mapping[int, Clip]) -> dict[int, Exception]:
        """Run prefixes together, or one by one where that fails; what went wrong, by clip number."""
        started = time.perf_counter()
        prefixes = {number: clip.prefix for number, clip in clips.items() if clip.prefix is not None}
        try:
            self._runner.add_clips(prefixes)
        except Exception as error:
            if is_memory_error(error):
                raise
            if len(clips) == 1:
                return dict.fromkeys(clips, error)
            errors: dict[int, Exception] = {}
            for number, clip in clips.items():
                errors |= self._prefill({number: clip})
            return errors
        share_seconds = (time.perf_counter() - started) / len(clips)
        for clip in clips.values():
            clip.is_placed, clip.prefix = True, None
            clip.share_seconds += share_seconds / len(clip.request.questions)
        return {}
