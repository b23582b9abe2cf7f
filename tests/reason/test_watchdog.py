"""The watchdog in processes of their own: it ends what hangs, natively and with the interpreter's lock held, too."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import ctypes, os, threading, time
from framegate.pipelines.reason.watchdog import Watchdog

def sleep_with_lock(seconds):
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # PyDLL, unlike CDLL, keeps the interpreter's lock

def tell(late):
    print("late:", late.what, late.max_seconds, flush=True)

dog = Watchdog(tell, max_seconds=0.8)
dog.start()
{body}
print("lived", flush=True)
"""


def run(body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PROGRAM.format(body=body)], capture_output=True, text=True, timeout=60)


def test_native_code_that_keeps_the_interpreters_lock_ends_the_process() -> None:
    done = run("with dog.watch('a step', 0.8): sleep_with_lock(50)")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Timeout" in done.stderr
    assert "sleep_with_lock" in done.stderr, "where it hangs is not told"


def test_native_code_that_lets_go_of_the_lock_is_told_of_and_ends_nothing_by_itself() -> None:
    done = run("with dog.watch('a step', 0.8): time.sleep(1.5)\ndog.close()\ntime.sleep(2)")
    assert (done.returncode, done.stdout) == (0, "late: a step 0.8\nlived\n")
    assert "most recent call first" in done.stderr, "where it hangs is not told"


def test_one_who_hangs_while_telling_ends_the_process_in_the_end() -> None:
    done = run("dog._on_late = lambda late: sleep_with_lock(50)\nwith dog.watch('a step', 0.8): time.sleep(50)")
    assert done.returncode == 1


def test_what_may_take_longer_takes_longer_with_the_lock_held() -> None:
    done = run("with dog.watch('loading', 6.0): sleep_with_lock(2.5)\ndog.close()")
    assert (done.returncode, done.stdout) == (0, "lived\n"), done.stderr


def test_steps_in_time_and_an_idle_engine_end_nothing() -> None:
    body = """
for _ in range(2000):
    with dog.watch('a step', 0.8): pass
for _ in range(25):
    with dog.watch('a step', 0.8): time.sleep(0.1)
time.sleep(2.5)
dog.close()
"""
    done = run(body)
    assert (done.returncode, done.stdout) == (0, "lived\n"), done.stderr


def test_after_close_nothing_ends_the_process() -> None:
    done = run("dog.close()\nsleep_with_lock(2.5)")
    assert (done.returncode, done.stdout) == (0, "lived\n"), done.stderr


def test_a_long_limit_is_over_with_what_it_was_for() -> None:
    done = run("with dog.watch('loading', 60.0): time.sleep(0.5)\nwith dog.watch('a step', 0.8): sleep_with_lock(50)")
    assert (done.returncode, done.stdout) == (1, "")
