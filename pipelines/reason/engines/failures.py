"""How an engine says that a question has no answer: a reason code and one sentence, instead of an exception.

One broken clip must not stop the others in the same engine, so whatever goes wrong with it comes back as `Finished`.
"""

from __future__ import annotations

from framegate.pipelines.reason.engines.poison import is_poisoned
from framegate.pipelines.reason.engines.protocol import Finished
from framegate.schemas.errors import EngineError
from framegate.schemas.qa import Question

MEMORY_REASON = "memory_limit"


def is_memory_error(error: Exception) -> bool:
    """Whether host or device ran out of memory. torch's allocator for the CPU and cuBLAS have no exception for it."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator: can't allocate memory" in str(error)
        or "STATUS_ALLOC_FAILED" in str(error)
    )


def describe_failure(error: Exception) -> tuple[str, str]:
    """(reason code, one sentence). Running out of memory, on host or device, has a code of its own."""
    reason = MEMORY_REASON if is_memory_error(error) else EngineError.reason
    line = str(error).strip().partition("\n")[0]
    return reason, line if isinstance(error, EngineError) else f"{type(error).__name__}: {line}".rstrip(": ")


def fail(request_id: str, question: Question, error: Exception) -> Finished:
    """Raises `error` itself where it is no failure of one question: after it no engine can work in this process."""
    if is_poisoned(error):
        raise error
    reason, message = describe_failure(error)
    return Finished(
        request_id=request_id, question=question, answer=None, failure_reason=reason, failure_message=message
    )
