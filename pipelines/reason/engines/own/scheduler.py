"""Which asks enter the engine's free slots, when those that think go on, and what becomes of all when memory runs out.

Clips wait in the order in which they came. All asks of the first clip enter before any of the second one, as far as
there are slots and memory; a clip whose last ask has gone is forgotten when its owner says so, as more may be asked of
it until then. A request or clip is its number of tokens here, and memory answers whether so many fit: no tensor,
checkpoint or runner is needed to say who enters.

A token step costs much even for a few rows, and thinking takes many steps. So a request that begins to think pauses
and keeps its keys and values: first answers take its place in the steps, until enough are paused to fill steps by
themselves. They think together then.

    add ──> waiting ──schedule──> running ──finish──> gone
               │                  │     ▲
               │            pause ▼     │ schedule
               │                  paused
               └────put_back, halve─────┘
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from framegate.pipelines.reason.engines.own.request import Clip, Request
from framegate.pipelines.reason.strategies.protocol import Ask, ClipFrames

_CALM_STEPS = 256
# A unit is committed when all of its questions are answered. At 80 ms a step, which 64 rows of 180 M parameters take on
# 2 cores, it is kept for 41 s at most; of that many steps first answers of 8 tokens take 64 rounds.
PAUSED_STEPS = 512


class SlotMemory(Protocol):
    """The memory of all slots. Slots of one store are as large as the largest thing that was ever in them."""

    def fits(self, *, num_rows: int, row_tokens: int, num_clips: int, clip_tokens: int, control_bytes: int = 0) -> bool:
        """Whether so many more requests and clips, of at most so many tokens each, have room beside what is there.
        `control_bytes` is what the value controls of these requests take beside."""
        ...

    def clear(self) -> None:
        """Empty all slots and give their memory back. Sets `is_in_slot` of each clip to False."""
        ...


class Scheduled(NamedTuple):
    """Requests that run from now on, those for which there is not enough memory even when they are alone, and paused
    ones that go on."""

    entering: Sequence[Request]
    too_large: Sequence[Request]
    resuming: Sequence[Request] = ()


class Scheduler:
    """At most `num_slots` requests take part in a step, and as many more are paused.

    Paused requests go on, the oldest first, as far as a step has room for them, once
    * they fill a step, with those that think already;
    * or nothing enters that could take their place: nothing waits, there is no memory for what waits, or what entered
      was put back;
    * or one of them has been paused for `num_paused_steps` steps.

    When memory ran out, half as many run as did, and none are paused. After each `num_calm_steps` steps without trouble
    the number is doubled again, up to all slots.
    """

    def __init__(
        self,
        memory: SlotMemory,
        *,
        num_slots: int,
        num_calm_steps: int = _CALM_STEPS,
        num_paused_steps: int = PAUSED_STEPS,
    ) -> None:
        self.num_slots = num_slots
        self.num_calm_steps = num_calm_steps
        self.num_paused_steps = num_paused_steps
        self._memory = memory
        self._width = num_slots
        self._num_steps = 0
        self._was_put_back = False
        self._steps_since_trouble = 0
        self._clips: dict[tuple[ClipFrames, tuple[int, ...] | None], Clip] = {}
        self._running: dict[Request, None] = {}  # an ordered set, of paused ones as well
        self._paused: dict[Request, int] = {}  # in the order in which they paused, with the number of steps before
        self._thinking: set[Request] = set()  # of those that were paused

    @property
    def width(self) -> int:
        """How many requests may take part in a step now."""
        return self._width

    @property
    def num_held(self) -> int:
        """How many requests may have a slot now: those that take part in a step, and paused ones."""
        return 2 * self._width if self._width == self.num_slots else self._width

    @property
    def clips(self) -> Sequence[Clip]:
        """Those with requests that wait or run."""
        return list(self._clips.values())

    @property
    def running(self) -> Sequence[Request]:
        """In the order in which they entered, paused ones included."""
        return list(self._running)

    @property
    def paused(self) -> Sequence[Request]:
        """In the order in which they paused."""
        return list(self._paused)

    @property
    def is_idle(self) -> bool:
        """Nothing runs."""
        return not self._running

    def find_clip(self, ask: Ask) -> Clip | None:
        """The clip whose prefix this ask shares, where it has not been forgotten."""
        return self._clips.get((ask.clip, ask.frames))

    def add(self, request: Request) -> None:
        """Let a request wait, behind the others of its clip."""
        clip = request.clip
        self._clips[clip.source, clip.frames] = clip
        clip.waiting.append(request)

    def schedule(self) -> Scheduled:
        """Let paused requests go on, or move waiting ones into free slots.

        Where slots are many they are not filled one by one: each prefill has its price. What does not fit now waits
        for others to go; where nothing runs it never will, and its clip is forgotten.
        """
        resuming = self._resume() if self._was_put_back or self._are_enough_paused() else []
        self._was_put_back = False
        num_held_free, fewest = self.num_held - len(self._running), max(1, self._width // 16)
        num_free = min(self._num_free, num_held_free)
        if self._running and num_free < fewest:
            return Scheduled([], [], resuming or (self._resume() if num_held_free < fewest else []))
        entering, too_large = self._let_in(num_free)
        if not entering or not any(clip.waiting for clip in self._clips.values()):
            resuming += self._resume()
        return Scheduled(entering, too_large, resuming)

    def pause(self, request: Request) -> None:
        """A running request begins to think. It goes on when `schedule` says so."""
        self._paused[request] = self._num_steps

    def _let_in(self, num_free: int) -> tuple[list[Request], list[Request]]:
        """At most so many waiting requests, which run now; and those that never will."""
        entering: list[Request] = []
        too_large: list[Request] = []
        was_idle = self.is_idle
        for clip in self.clips:
            while clip.waiting and len(entering) < num_free:
                if self._fits(clip.waiting[0], entering, is_alone=was_idle and not entering):
                    entering.append(clip.waiting.popleft())
                    continue
                if entering or not was_idle:
                    return self._enter(entering, too_large)
                too_large += self.give_up(clip)
            if len(entering) == num_free:
                break
        return self._enter(entering, too_large)

    @property
    def _num_free(self) -> int:
        """How many more may take part in a step."""
        return self._width - len(self._running) + len(self._paused)

    def _are_enough_paused(self) -> bool:
        """To fill steps, or one that has waited for too long."""
        if not self._paused:
            return False
        waited = self._num_steps - next(iter(self._paused.values()))
        return len(self._paused) + len(self._thinking) >= self._width or waited >= self.num_paused_steps

    def _resume(self) -> list[Request]:
        """Let paused requests go on, as many as a step has room for."""
        resuming = list(self._paused)[: max(0, self._num_free)]
        for request in resuming:
            del self._paused[request]
            self._thinking.add(request)
        return resuming

    def finish(self, request: Request) -> None:
        """A running request has gone. Its clip stays, for what may follow, until `forget_unasked`."""
        self._leave(request)

    def forget_unasked(self) -> list[Clip]:
        """Forget the clips of which nothing waits or runs; these clips."""
        unasked = [clip for clip in self._clips.values() if not clip.waiting and not clip.num_running]
        for clip in unasked:
            self._forget(clip)
        return unasked

    def requests_of(self, clip: Clip) -> list[Request]:
        """Those that run, then those that wait."""
        return [*(request for request in self._running if request.clip is clip), *clip.waiting]

    def give_up(self, clip: Clip) -> list[Request]:
        """Forget a clip, with all of its requests."""
        given_up = self.requests_of(clip)
        for request in given_up[: clip.num_running]:
            self._leave(request)
        clip.waiting.clear()
        self._forget(clip)
        return given_up

    def put_back(self, requests: Sequence[Request]) -> None:
        """Let running requests wait again, in front of all others of their clips. Paused ones go on before they enter
        once more."""
        self._was_put_back = True
        for request in reversed(requests):
            self._leave(request)
            request.clip.waiting.appendleft(request)

    def stop(self) -> list[Request]:
        """Nothing runs any more: the requests that did. Slots are emptied; what waits goes on waiting."""
        stopped = self.running
        self._memory.clear()
        for request in stopped:
            self._leave(request)
        for clip in self.clips:
            if not clip.waiting:
                self._forget(clip)
        return list(stopped)

    def halve(self) -> list[Request]:
        """Memory has run out. All that ran waits again, and half as much will run; those that are given up.

        A request that was alone is tried once more, with slots no larger than it needs. Then its clip is given up.
        """
        running = self.running
        given_up: list[Request] = []
        if len(running) > 1 or not all(request.clip.was_alone for request in running):
            self._width = max(1, min(len(running), self._width) // 2)
            for request in running:
                request.clip.was_alone = len(running) == 1
            self.put_back(running)
        else:
            for request in running:
                given_up += self.give_up(request.clip)
        self._memory.clear()
        return given_up

    def count_step(self, *, is_calm: bool) -> None:
        """A step is over, with or without trouble."""
        self._num_steps += 1
        self._steps_since_trouble = self._steps_since_trouble + 1 if is_calm else 0
        if is_calm and self._width < self.num_slots and self._steps_since_trouble % self.num_calm_steps == 0:
            self._width = min(2 * self._width, self.num_slots)

    def _enter(self, entering: list[Request], too_large: list[Request]) -> tuple[list[Request], list[Request]]:
        for request in entering:
            self._running[request] = None
            request.clip.num_running += 1
        return entering, too_large

    def _leave(self, request: Request) -> None:
        """It runs no more."""
        del self._running[request]
        self._paused.pop(request, None)
        self._thinking.discard(request)
        request.clip.num_running -= 1

    def _fits(self, request: Request, entering: Sequence[Request], *, is_alone: bool) -> bool:
        if self._is_in_memory(request, entering):
            return True
        if not is_alone:
            return False
        self._memory.clear()
        return self._is_in_memory(request, entering)

    def _is_in_memory(self, request: Request, entering: Iterable[Request]) -> bool:
        together = [*entering, request]
        new_clips = {each.clip for each in together if not each.clip.is_in_slot}
        return self._memory.fits(
            num_rows=len(together),
            row_tokens=max(each.max_own_tokens for each in together),
            num_clips=len(new_clips),
            clip_tokens=max((clip.num_prefix_tokens for clip in new_clips), default=0),
            control_bytes=sum(each.control_bytes for each in together),
        )

    def _forget(self, clip: Clip) -> None:
        del self._clips[clip.source, clip.frames]
