"""Which errors end a process, and which one question."""

from __future__ import annotations

import pytest
import torch

from framegate.pipelines.reason.engines.failures import is_fatal
from framegate.schemas.errors import EngineError


class EngineDeadError(Exception):
    """Named like vLLM's."""


def raised_from(cause: Exception) -> Exception:
    try:
        raise EngineError("the step failed") from cause
    except EngineError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with `TORCH_USE_CUDA_DSA`"),
        RuntimeError("HIP error: unspecified launch failure"),
        torch.AcceleratorError("the launch timed out"),
        EngineDeadError("EngineCore encountered an issue"),
        raised_from(RuntimeError("CUDA error: device-side assert triggered")),
    ],
)
def test_after_these_no_engine_works_in_the_process(error: Exception) -> None:
    assert is_fatal(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        ValueError("a clip without frames"),
        raised_from(torch.OutOfMemoryError("CUDA out of memory")),
    ],
)
def test_after_these_the_next_question_may_be_answered(error: Exception) -> None:
    assert not is_fatal(error)
