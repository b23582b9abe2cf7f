"""The systems under measurement by name, and where each of them lives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from framegate.pipelines.lab.bench.engines.task import Task, Written
from framegate.pipelines.reason.questions import ClipRequest


class System(Protocol):
    """Loaded and ready. `settings` are those that it chose for itself, at the latest while warming up. One that tells
    what it does with its time has `times` (EngineTimes) as well."""

    settings: dict[str, str | int]

    def warm_up(self, requests: Sequence[ClipRequest]) -> None:
        """All that is done once for any number of clips: kernels, caches of shapes, choices."""
        ...

    def run(self, requests: Sequence[ClipRequest]) -> list[Written]: ...


def _two_call(task: Task) -> System:
    from framegate.pipelines.lab.bench.engines.hugging_face import TwoCall

    return TwoCall(task)


def _generate_always(task: Task) -> System:
    from framegate.pipelines.lab.bench.engines.hugging_face import GenerateAlways

    return GenerateAlways(task)


def _transformers(strategy: str) -> Callable[[Task], System]:
    def load(task: Task) -> System:
        from framegate.pipelines.lab.bench.engines.own_engines import load_transformers

        return load_transformers(task, task.strategy or strategy)

    return load


def _vllm_always(task: Task) -> System:
    from framegate.pipelines.lab.bench.engines.plain_vllm import VllmAlways

    return VllmAlways(task)


def _vllm_two_request(task: Task) -> System:
    from framegate.pipelines.lab.bench.engines.plain_vllm import VllmTwoRequest

    return VllmTwoRequest(task)


def _vllm_gated(task: Task) -> System:
    from framegate.pipelines.lab.bench.engines.own_engines import load_vllm

    return load_vllm(task, task.strategy or "gated")


SYSTEMS: dict[str, Callable[[Task], System]] = {
    "two_call": _two_call,
    "generate_always": _generate_always,
    "transformers_direct": _transformers("direct"),
    "transformers_gated": _transformers("gated"),
    "transformers_always": _transformers("always_think"),
    "vllm_always": _vllm_always,
    "vllm_two_request": _vllm_two_request,
    "vllm_gated": _vllm_gated,
}
VLLM_SYSTEMS = tuple(name for name in SYSTEMS if name.startswith("vllm"))


class FirstAnswers(NamedTuple):
    """The run that writes first answers alone: a system, and the strategy that replaces its own."""

    system: str
    strategy: str | None


# For each system that has a threshold. What is computed by the same code is rounded alike and has the same run.
FIRST_ANSWERS = {
    "two_call": FirstAnswers("two_call", None),  # at a threshold of 0 nothing is asked again
    "transformers_gated": FirstAnswers("transformers_direct", None),
    "vllm_two_request": FirstAnswers("vllm_gated", "direct"),
    "vllm_gated": FirstAnswers("vllm_gated", "direct"),
}
