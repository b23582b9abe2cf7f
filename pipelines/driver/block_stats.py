"""Keeps Ray Data from remembering every block that it has ever moved.

Ray Data 2.60 keeps figures of each block that each operator gives out (a `BlockStats` with some 20 fields) until the
dataset ends, to print a summary that nobody asks for here. For two operators that is about 4 kB a block: 4 GB of the
driver for a million blocks.
"""

from __future__ import annotations

from typing import Any, Final

MAX_KEPT: Final = 1000


def forget_block_stats(context: Any) -> None:
    """Lets all datasets of a DataContext forget their blocks' figures while they run. Once is enough."""
    classes = list(context.custom_execution_callback_classes)
    if not any(each.__name__ == "ForgetBlockStats" for each in classes):
        context.custom_execution_callback_classes = [*classes, _make_callback()]


def forget_of(operators: Any) -> None:
    """The same for operators that are given, once."""
    for operator in operators:
        kept = getattr(operator, "_output_blocks_stats", None)
        if kept is not None and len(kept) > MAX_KEPT:
            kept.clear()


def _make_callback() -> type:
    from ray.data._internal.execution.execution_callback import ExecutionCallback

    class ForgetBlockStats(ExecutionCallback):
        def on_execution_step(self, executor: Any) -> None:
            forget_of(executor._topology)

    return ForgetBlockStats
