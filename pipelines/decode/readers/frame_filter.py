"""A chain of FFmpeg's filters that frames are sent through, one at a time, one out for one in."""

from __future__ import annotations

from fractions import Fraction

from av.filter import Graph
from av.video.frame import VideoFrame


class FrameFilter:
    """`filters` are names and options, as FFmpeg has them: ("crop", "w=320:h=180:x=0:y=30")."""

    def __init__(self, filters: tuple[tuple[str, str], ...]) -> None:
        self._filters = filters
        self._shape: tuple[int, int, str] | None = None
        self._graph = Graph()

    def apply(self, frame: VideoFrame) -> VideoFrame:
        """Raises FFmpegError where FFmpeg refuses the filters for such a frame."""
        shape = frame.width, frame.height, frame.format.name
        if shape != self._shape:  # a graph is for one shape alone
            self._graph, self._shape = self._build(frame), shape
        self._graph.vpush(frame)
        return self._graph.vpull()

    def _build(self, frame: VideoFrame) -> Graph:
        graph = Graph()
        graph.threads = 1
        time_base = frame.time_base or Fraction(1, 1000)
        source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base)
        middle = [graph.add(name, options) for name, options in self._filters]
        graph.link_nodes(source, *middle, graph.add("buffersink")).configure()
        return graph
