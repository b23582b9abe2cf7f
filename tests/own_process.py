"""What is measured of a whole process is measured in one that nothing else has used."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

Args = ParamSpec("Args")
Result = TypeVar("Result")


def in_own_process(function: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """`function`'s result from a fresh process; what it raises is raised here.

    Memory that earlier tests left to the allocator hides growth, and what they leave to be freed later hides it, too.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        return executor.submit(function, *args, **kwargs).result()
