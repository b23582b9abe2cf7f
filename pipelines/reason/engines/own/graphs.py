"""Token steps that are captured once and replayed, so that a GPU does not wait for Python.

A step of a 7B model is over a thousand small kernels, and starting them one by one takes longer than running them. A
graph starts all of them at once, but for fixed shapes and addresses. So rows are padded to round numbers, what differs
from step to step is copied into the buffers of the first step of that shape, and graphs are dropped when a store has
grown. Only shapes that come again are captured.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

import torch

from framegate.pipelines.reason.engines.failures import is_fatal, is_memory_error
from framegate.pipelines.reason.engines.own.token_step import StepPass

Step = Callable[[torch.Tensor, StepPass], torch.Tensor]
"""Token ids and positions (2, N) and a pass of one token per row: logits (N, vocabulary)."""

Capture = Callable[[Callable[[], torch.Tensor]], tuple[Callable[[], None], torch.Tensor]]
"""Takes a step and may run it several times; returns what replays it, and the tensor that each replay fills."""

_MAX_GRAPHS = 64
_NUM_SIGHTINGS = 2  # a shape is captured when it comes for the second time
_TOLERANCE = 0.02  # of the largest logit, between a step as it is and its replay

_log = logging.getLogger(__name__)


class _Graph(NamedTuple):
    tokens_2N: torch.Tensor
    step_pass: StepPass
    replay: Callable[[], None]
    logits_BV: torch.Tensor


class StepGraphs:
    """Runs steps, from a graph where there is one. No graph is used any more once a replay differed from its step."""

    def __init__(self, run: Step, capture: Capture) -> None:
        self._run = run
        self._capture = capture
        self._graphs: OrderedDict[Hashable, _Graph] = OrderedDict()
        self._sightings: Counter[Hashable] = Counter()
        self._is_trusted = True

    @property
    def is_trusted(self) -> bool:
        """False once a capture failed or a replay differed; steps then run as they are."""
        return self._is_trusted

    def clear(self) -> None:
        """Forget all graphs: the memory that they read may be gone."""
        self._graphs.clear()
        self._sightings.clear()

    def run(self, tokens_2N: torch.Tensor, step_pass: StepPass) -> torch.Tensor:
        """Logits of a step; valid until the next one."""
        if not self._is_trusted:
            return self._run(tokens_2N, step_pass)
        shape = (tokens_2N.shape[1], step_pass.signature)
        graph = self._graphs.get(shape)
        if graph is None:
            logits_BV = self._run(tokens_2N, step_pass)
            self._sightings[shape] += 1
            if self._sightings[shape] >= _NUM_SIGHTINGS:
                self._add(shape, tokens_2N, step_pass, logits_BV)
            return logits_BV
        self._graphs.move_to_end(shape)
        graph.tokens_2N.copy_(tokens_2N)
        graph.step_pass.copy_buffers(step_pass)
        graph.replay()
        return graph.logits_BV

    def _add(self, shape: Hashable, tokens_2N: torch.Tensor, step_pass: StepPass, expected_BV: torch.Tensor) -> None:
        """Capture the step that has just been run. To run it again changes nothing: it writes the same places."""
        try:
            replay, logits_BV = self._capture(lambda: self._run(tokens_2N, step_pass))
            replay()
        except RuntimeError as error:
            if is_memory_error(error) or is_fatal(error):
                raise
            self._distrust(f"a token step could not be captured as a graph ({str(error).partition(chr(10))[0]})")
            return
        difference = (logits_BV - expected_BV).abs().max()
        if not difference <= _TOLERANCE * expected_BV.abs().max():
            self._distrust(f"a captured token step differed from the step itself by {float(difference):g} in a logit")
            return
        self._graphs[shape] = _Graph(tokens_2N, step_pass, replay, logits_BV)
        if len(self._graphs) > _MAX_GRAPHS:
            self._graphs.popitem(last=False)

    def _distrust(self, reason: str) -> None:
        _log.warning("%s; steps run without graphs from here on, which is right and slower", reason)
        self._is_trusted = False
        self.clear()


class CudaCapture:
    """A `Capture` with CUDA graphs. They share one pool of memory: a graph's logits are read before the next replay.

    A step runs twice on another stream before it is captured, so that libraries have set themselves up.
    """

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(2):
                step()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            logits_BV = step()
        return graph.replay, logits_BV
