"""What an engine does about errors: which ones fail one ask, and which ones are the end of the process.

One broken clip must not stop the others in the same engine: whatever goes wrong with it comes back as a failed
`FinishedAsk`, a reason code and one sentence. After a fatal error no engine can work in this process: every later call
into a CUDA device fails once one has, and so does all work given to an engine whose own processes have died. Running
out of memory is not fatal. Errors are known by their names, so that no package need be installed.
"""

from __future__ import annotations

from collections.abc import Iterator

from framegate.pipelines.reason.strategies.protocol import Ask, FinishedAsk
from framegate.schemas.errors import EngineError

MEMORY_REASON = "memory_limit"

FATAL_TYPES = frozenset({"AcceleratorError", "EngineDeadError"})  # torch's, and vLLM's
FATAL_WORDS = ("CUDA error", "HIP error", "device-side assert")
HARMLESS_TYPES = frozenset({"OutOfMemoryError"})
HARMLESS_WORDS = ("STATUS_ALLOC_FAILED",)  # cuBLAS found no memory for its handle, and says so as a "CUDA error"


def is_fatal(error: BaseException) -> bool:
    """Whether `error`, or what it was raised from, means that only a new process can go on."""
    return any(_is_fatal_itself(one) for one in _chain(error))


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
    of_error = error.reason if isinstance(error, EngineError) else EngineError.reason
    reason = MEMORY_REASON if is_memory_error(error) else of_error
    line = str(error).strip().partition("\n")[0]
    return reason, line if isinstance(error, EngineError) else f"{type(error).__name__}: {line}".rstrip(": ")


def fail(ask: Ask, error: Exception) -> FinishedAsk:
    """The ask with its failure. A fatal error is raised instead."""
    if is_fatal(error):
        raise error
    reason, message = describe_failure(error)
    return FinishedAsk(ask=ask, course=None, failure_reason=reason, failure_message=message)


def _is_fatal_itself(error: BaseException) -> bool:
    if type(error).__name__ in HARMLESS_TYPES or any(words in str(error) for words in HARMLESS_WORDS):
        return False
    return type(error).__name__ in FATAL_TYPES or any(words in str(error) for words in FATAL_WORDS)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
