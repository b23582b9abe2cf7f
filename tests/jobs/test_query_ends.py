"""How a query ends: its time or memory is up, its reader goes away, or somebody presses Ctrl-C."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.jobs.queried import Framegate


def test_a_query_ends_when_its_time_is_up(framegate: Framegate, output: str) -> None:
    endless = "SELECT count(*) FROM range(1000000000) a, range(1000) b WHERE a.range % 7 = b.range % 3"
    result = framegate("query", endless, "-o", output, "--timeout", "0.3s")
    assert result.exit_code == 2
    assert "was not done after 0.3 s, which --timeout allows" in result.stderr
    streaming = "SELECT a.range FROM range(1000000000) a, range(1000) b WHERE a.range % 7 = b.range % 3"
    result = framegate("query", streaming, "-o", output, "--timeout", "0.3s", "-f", "csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--timeout" in result.stderr


def test_a_query_that_needs_too_much_memory_says_so(framegate: Framegate, output: str) -> None:
    hungry = "SELECT sum(len(l)) FROM (SELECT list(range || 'a long text that is different' ORDER BY hash(range)) AS l FROM range(3000000))"  # noqa: E501
    result = framegate("query", hungry, "-o", output, "--memory", "64MB", "--timeout", "120s")
    assert result.exit_code == 2, result.output
    assert "needs more memory than the 64,000,000 bytes of --memory" in result.stderr


def test_a_reader_that_goes_away_is_no_traceback(output: str) -> None:
    program = "import sys; from framegate.jobs.cli import main; main()"
    arguments = [sys.executable, "-c", program, "query", "SELECT range FROM range(2000000)", "-o", output, "-f", "csv"]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(arguments, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"range\r\n"
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_ctrl_c_ends_a_query_that_runs(output: str) -> None:
    import signal
    import time

    program = (
        "import os, signal, sys, threading, time\n"
        "def interrupt():\n"
        "    while not any(each.name.startswith('query') for each in threading.enumerate()): time.sleep(0.05)\n"
        "    time.sleep(0.5); os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=interrupt).start()\n"
        "from framegate.jobs.cli import main; main()"
    )
    endless = "SELECT count(*) FROM range(100000000000) a, range(1000) b WHERE a.range % 7 = b.range % 3"
    arguments = [sys.executable, "-c", program, "query", endless, "-o", output]
    began = time.monotonic()
    done = subprocess.run(
        arguments, cwd=Path(__file__).resolve().parents[2], capture_output=True, check=False, timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr
    assert time.monotonic() - began < 20


def test_rows_alone_stand_on_standard_output_however_long_it_takes(output: str) -> None:
    """DuckDB draws a bar there after two seconds, beside what Python writes."""
    slow = "SELECT count(*) AS n FROM range(2000000000) a WHERE a.range % 7 = 3 AND hash(a.range) % 2 = 0"
    program = "import sys; from framegate.jobs.cli import main; main()"
    for options in (["-f", "csv"], ["--timeout", "4s", "-f", "csv"]):
        done = subprocess.run(
            [sys.executable, "-c", program, "query", slow, "-o", output, *options], capture_output=True, check=False
        )
        assert re.fullmatch(rb"(n\r\n\d+\r\n)?", done.stdout)
        assert (done.returncode == 0) == bool(done.stdout)
