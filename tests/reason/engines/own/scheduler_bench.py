"""A scheduler under test: its memory as numbers, and requests by name."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from framegate.pipelines.reason.engines.own.request import Clip, Request
from framegate.pipelines.reason.engines.own.scheduler import Scheduler


class Memory:
    """So many tokens for all clips and rows; a slot of either kind is as large as the largest thing ever in one."""

    def __init__(self, max_tokens: int | None = None) -> None:
        self.max_tokens = max_tokens
        self.clips: list[Clip] = []
        self.rows: list[Request] = []
        self.sizes = {"clip": 0, "row": 0}
        self.num_clears = 0

    def fits(self, *, num_rows: int, row_tokens: int, num_clips: int, clip_tokens: int, control_bytes: int = 0) -> bool:
        if self.max_tokens is None:
            return True
        clip_bytes = (len(self.clips) + num_clips) * max(self.sizes["clip"], clip_tokens)
        row_bytes = (len(self.rows) + num_rows) * max(self.sizes["row"], row_tokens)
        return clip_bytes + row_bytes <= self.max_tokens

    def clear(self) -> None:
        for clip in self.clips:
            clip.is_in_slot = False
        self.clips, self.rows, self.sizes = [], [], {"clip": 0, "row": 0}
        self.num_clears += 1

    def place(self, requests: Sequence[Request]) -> None:
        """What the engine does with requests that enter."""
        for request in requests:
            if not request.clip.is_in_slot:
                request.clip.is_in_slot = True
                self.clips.append(request.clip)
                self.sizes["clip"] = max(self.sizes["clip"], request.clip.num_prefix_tokens)
            self.rows.append(request)
            self.sizes["row"] = max(self.sizes["row"], request.max_own_tokens)


class Bench:
    """A scheduler, its memory, and requests by name: "b2" is the third one of clip b."""

    def __init__(self, *, num_slots: int = 4, max_tokens: int | None = None, **settings: int) -> None:
        self.memory = Memory(max_tokens)
        self.scheduler = Scheduler(self.memory, num_slots=num_slots, **settings)
        self.clips: dict[str, Clip] = {}
        self.requests: dict[str, Request] = {}

    def add(self, clip: str, *own_tokens: int, prefix: int = 10) -> None:
        """To a clip, which is a new one if it was forgotten: one request for each of these lengths."""
        ask = cast(Any, SimpleNamespace(clip=clip, frames=None))
        self.clips[clip] = self.scheduler.find_clip(ask) or Clip(source=cast(Any, clip), num_prefix_tokens=prefix)
        for num_tokens in own_tokens:
            name = f"{clip}{sum(each.startswith(clip) for each in self.requests)}"
            self.requests[name] = Request(ask=ask, clip=self.clips[clip], suffix_ids=(), max_own_tokens=num_tokens)
            self.scheduler.add(self.requests[name])

    def names(self, requests: Sequence[Request]) -> list[str]:
        return [next(name for name, one in self.requests.items() if one is request) for request in requests]

    def enter(self) -> list[str]:
        """Who enters, and who is told that there will never be room."""
        entering, too_large, resuming = self.scheduler.schedule()
        self.memory.place(entering)
        again = [f"{name} again" for name in self.names(resuming)]
        return again + self.names(entering) + [f"{name} never" for name in self.names(too_large)]

    def pause(self, *names: str) -> None:
        for name in names:
            self.scheduler.pause(self.requests[name])

    def finish(self, *names: str) -> list[bool]:
        """For each, whether its clip is forgotten."""
        return [self._finish(self.requests[name]) for name in names]

    def _finish(self, request: Request) -> bool:
        self.memory.rows.remove(request)
        self.scheduler.finish(request)
        forgotten = self.scheduler.forget_unasked()
        for clip in forgotten:
            self.memory.clips.remove(clip)
            clip.is_in_slot = False
        assert forgotten in ([], [request.clip])
        return bool(forgotten)

    @property
    def running(self) -> list[str]:
        return self.names(self.scheduler.running)
