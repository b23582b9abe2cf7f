"""A benchmark that is ended leaves no process behind that would take the cores from the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from framegate.pipelines.lab.bench.engines.lifeline import hold_lifeline
from framegate.pipelines.lab.bench.engines.task import Task
from framegate.pipelines.lab.bench.processes import family

# Follows its lifeline, starts a child, says its number, and waits for ever.
WORKER = """
import subprocess, sys, time
from framegate.pipelines.lab.bench.engines.lifeline import follow_lifeline
time.sleep(float(sys.argv[2]))
follow_lifeline(int(sys.argv[1]))
child = subprocess.Popen(["sleep", "600"])
print(child.pid, flush=True)
time.sleep(600)
"""
PARENT = """
import sys
from framegate.pipelines.lab.bench.engines.run import Interpreters, run_once
from framegate.pipelines.lab.bench.engines.task import Task
run_once(Task.from_json(sys.stdin.read()), Interpreters(vllm=None))
"""


@contextmanager
def started(*arguments: str, **settings) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, **settings)
    try:
        yield process
    finally:
        for pid in family(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def wait_until(holds: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def is_there(pid: int) -> bool:
    """A process that has ended and that nobody has asked about yet is not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def follows(pid: int) -> bool:
    """Whether the process has asked for the signal."""
    with suppress(OSError):
        flags = [file.read_text().split()[3] for file in Path(f"/proc/{pid}/fdinfo").iterdir()]
        return any(int(flag, 8) & os.O_ASYNC for flag in flags)
    return False


def test_a_process_and_its_children_end_when_the_line_is_let_go() -> None:
    with ExitStack() as benchmark:
        line = benchmark.enter_context(hold_lifeline())
        with started(WORKER, str(line), "0", pass_fds=[line], process_group=0) as worker:
            assert worker.stdout is not None
            child = int(worker.stdout.readline())
            assert is_there(worker.pid)
            assert is_there(child)
            benchmark.close()
            assert worker.wait(60) == -signal.SIGIO
            wait_until(lambda: not is_there(child))


def test_a_line_that_was_let_go_before_counts() -> None:
    with hold_lifeline() as line:
        worker = subprocess.Popen([sys.executable, "-c", WORKER, str(line), "0.5"], pass_fds=[line], process_group=0)
    assert worker.wait(60) == 1


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_ends_with_the_benchmark(make_task: Callable[..., Task], end: signal.Signals) -> None:
    task = make_task("qwen3_vl", "two_call", 1.0)
    endless = replace(task, work=replace(task.work, num_thinking_tokens=30_000))
    with started(PARENT) as parent:
        assert parent.stdin is not None
        parent.stdin.write(endless.to_json())
        parent.stdin.close()
        parent.stdin = None
        wait_until(lambda: any(follows(pid) for pid in set(family(parent.pid)) - {parent.pid}))
        [worker] = set(family(parent.pid)) - {parent.pid}
        os.kill(parent.pid, end)
        wait_until(lambda: not is_there(worker))
