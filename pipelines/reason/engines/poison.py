"""Which errors leave a process in which no engine can work any more.

After a CUDA error every later call into the device fails in the same process, whatever is built anew; so does all work
given to an engine whose own processes have died. Running out of memory is none of these. Knows errors by their names:
no package need be there.
"""

from __future__ import annotations

from collections.abc import Iterator

FATAL_TYPES = frozenset({"AcceleratorError", "EngineDeadError"})  # torch's, and vLLM's
FATAL_WORDS = ("CUDA error", "HIP error", "device-side assert")
HARMLESS_WORDS = ("STATUS_ALLOC_FAILED",)  # cuBLAS found no memory for its handle, and says so as a "CUDA error"
HARMLESS_TYPES = frozenset({"OutOfMemoryError"})


def is_poisoned(error: BaseException) -> bool:
    """Whether `error`, or what it was raised from, means that only a new process can go on."""
    return any(_is_fatal(one) for one in _chain(error))


def _is_fatal(error: BaseException) -> bool:
    if type(error).__name__ in HARMLESS_TYPES or any(words in str(error) for words in HARMLESS_WORDS):
        return False
    return type(error).__name__ in FATAL_TYPES or any(words in str(error) for words in FATAL_WORDS)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
