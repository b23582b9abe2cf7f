"""The first signal asks, a second one ends the process at once, and a run that takes longer than its grace is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from framegate.pipelines.driver.signals import HEEDED, heed_again, heed_signals
from framegate.pipelines.driver.stopping import Stopping

CHILD = """
import os, signal, sys, time
from framegate.pipelines.driver.signals import heed_signals
from framegate.pipelines.driver.stopping import Stopping
stopping = Stopping()
with heed_signals(stopping, grace_seconds=float(sys.argv[1])):
    print("ready", flush=True)
    while stopping.reason is None:
        time.sleep(0.01)
    print(stopping.reason.sentence, flush=True)
    time.sleep(float(sys.argv[2]))
print("over", flush=True)
sys.exit(128 + stopping.reason.signal_number)
"""


def start(grace_seconds: float, busy_seconds: float, *, ignored: bool = False) -> subprocess.Popen[str]:
    def set_signals() -> None:
        for number in HEEDED:  # a shell ignores SIGINT for what it runs in the background, and children inherit that
            signal.signal(number, signal.SIG_DFL)
        if ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(grace_seconds), str(busy_seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=set_signals,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize("number", HEEDED)
def test_one_signal_asks_for_a_stop_and_the_process_goes_on(number: signal.Signals) -> None:
    child = start(30, 0.1)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (128 + number, f"signal {number.name}\nover\n", "")


def test_a_second_signal_ends_the_process_at_once() -> None:
    child = start(30, 60)
    child.send_signal(signal.SIGTERM)
    assert child.stdout is not None
    assert child.stdout.readline() == "signal SIGTERM\n"
    time.sleep(1.2)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, "")
    assert err == (
        "stopped at once by a second signal; everything committed is kept; the next run goes on from there\n"
    )


def test_the_same_wish_said_twice_is_one_signal() -> None:
    """`timeout` signals its child, and then the whole group."""
    child = start(30, 0.5)
    for _ in range(3):
        child.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    out, _ = child.communicate(timeout=60)
    assert (child.returncode, out) == (143, "signal SIGTERM\nover\n")


def test_what_is_not_over_after_its_grace_is_ended() -> None:
    child = start(1, 60)
    child.send_signal(signal.SIGHUP)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (129, "signal SIGHUP\n")
    assert "not over 1 s (run.grace_seconds) after the signal" in err


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    child = start(30, 0.1, ignored=True)
    child.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert child.poll() is None
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    assert child.returncode == 143


def test_handlers_come_back_and_others_do_not_stay_in_between() -> None:
    before = {number: signal.getsignal(number) for number in HEEDED}
    stopping = Stopping()
    with heed_signals(stopping, grace_seconds=30), heed_signals(Stopping(), grace_seconds=30):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as ray.init does
        heed_again()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.reason is not None
    assert {number: signal.getsignal(number) for number in HEEDED} == before


def test_in_another_thread_nothing_is_heeded() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def run() -> None:
        with heed_signals(Stopping(), grace_seconds=30):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
