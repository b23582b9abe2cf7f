"""Attacks on the sandbox by a decoder under foreign command: what it asks of the kernel, and how each attempt ends.

They run with seccomp alone in force, as on an old kernel in a container without user namespaces, and as the user that
runs the tests, root among them.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.decode.readers.reader import DECODERS, Decoder
from framegate.pipelines.decode.sandbox.sandbox import Sandbox
from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import DecodeFailed, DecoderCrash, DecodeTimeout, MemoryLimit, VideoError
from tests.decode.sandbox.sources import MATROSKA, Bytes

AT_CWD, AT_EMPTY_PATH, READ_ONLY = -100, 0x1000, 0
SECCOMP_ALONE = ("namespaces", "landlock", "no_capabilities")
X32 = 0x40000000


def call(what: str, number: int, *arguments: object, outcome: str = "EPERM") -> Any:
    return pytest.param(["call", number, *arguments], outcome, id=what)


# By the numbers of x86-64. What Linux has had since 5.1 is refused as unknown (ENOSYS), so that C libraries take the
# older way.
CALLS = [
    call("open-a-file", 2, "/etc/passwd", READ_ONLY),
    call("openat-a-file", 257, AT_CWD, "/etc/passwd", READ_ONLY),
    call("openat2-a-file", 437, AT_CWD, "/etc/passwd", "@", 24, outcome="ENOSYS"),
    call("open-the-environment-of-the-parent", 2, "/proc/{parent}/environ", READ_ONLY),
    call("open-the-environment-of-the-first-process", 2, "/proc/1/environ", READ_ONLY),
    call("open-ones-own-environment", 2, "/proc/self/environ", READ_ONLY),
    call("open-the-memory-of-the-parent", 2, "/proc/{parent}/mem", READ_ONLY),
    call("open-ones-own-descriptors", 2, "/proc/self/fd", READ_ONLY),
    call("reopen-the-shared-frames-by-path", 2, "/proc/self/fd/5", 2),
    call("create-a-file", 85, "/tmp/created", 0o600),
    call("write-to-a-new-file", 257, AT_CWD, "/tmp/created", 0o102, 0o600),
    call("stat-a-file", 4, "/etc/passwd", "@"),
    call("lstat-a-file", 6, "/etc/passwd", "@"),
    call("statx-a-file", 332, AT_CWD, "/etc/passwd", 0, 0xFFF, "@"),
    call("newfstatat-a-file", 262, AT_CWD, "/etc/passwd", "@", 0),
    call("newfstatat-a-file-that-claims-an-empty-path", 262, AT_CWD, "/etc/passwd", "@", AT_EMPTY_PATH),
    call("statx-a-file-that-claims-an-empty-path", 332, AT_CWD, "/etc/passwd", AT_EMPTY_PATH, 0xFFF, "@"),
    call("access-a-file", 21, "/etc/passwd", 4),
    call("faccessat2-a-file", 439, AT_CWD, "/etc/passwd", 4, 0, outcome="ENOSYS"),
    call("read-a-link", 89, "/proc/self/exe", "@", 512),
    call("readlinkat-the-folder-of-the-parent", 267, AT_CWD, "/proc/{parent}/cwd", "@", 512),
    call("list-a-folder", 217, "socket", "@", 512),
    call("ask-for-the-working-folder", 79, "@", 512),
    call("change-the-working-folder", 80, "/tmp"),
    call("change-the-root", 161, "/tmp"),
    call("make-a-folder", 83, "/tmp/made", 0o700),
    call("make-a-device", 133, "/tmp/device", 0o20600, 0x103),
    call("delete-a-file", 87, "/tmp/nothing"),
    call("rename-a-file", 316, AT_CWD, "/tmp/a", AT_CWD, "/tmp/b", 0),
    call("link-a-file", 86, "/etc/passwd", "/tmp/linked"),
    call("make-a-symbolic-link", 88, "/etc/passwd", "/tmp/linked"),
    call("truncate-a-file", 76, "/tmp/nothing", 0),
    call("shorten-the-shared-frames", 77, "frames", 0),
    call("punch-a-hole-into-the-shared-frames", 285, "frames", 3, 0, 4096),
    call("seal-the-shared-frames", 72, "frames", 1033, 0xF),
    call("change-the-mode-of-a-file", 90, "/etc/passwd", 0o777),
    call("change-the-mode-of-an-open-descriptor", 91, "frames", 0o777),
    call("change-the-owner-of-a-file", 92, "/etc/passwd", 0, 0),
    call("set-an-attribute", 188, "/etc/passwd", "user.a", "b", 1, 0),
    call("read-an-attribute", 191, "/etc/passwd", "security.selinux", "@", 512),
    call("watch-files", 294, 0),
    call("watch-the-file-system", 300, 0, 0),
    call("get-a-handle-of-a-file", 303, AT_CWD, "/etc/passwd", "@", "@", 0),
    call("open-a-file-by-handle", 304, AT_CWD, "@", READ_ONLY),
    call("execute-a-program", 59, "/bin/sh", None, None),
    call("execute-a-program-by-descriptor", 322, "frames", "", None, None, AT_EMPTY_PATH),
    call("make-a-file-in-memory", 319, "code", 0),
    call("make-a-secret-memory", 447, 0, outcome="ENOSYS"),
    call("load-a-library", 134, "/lib/x86_64-linux-gnu/libc.so.6"),
    call("mount-a-file-system", 165, "none", "/tmp", "tmpfs", 0, None),
    call("unmount-a-file-system", 166, "/tmp", 2),
    call("move-to-another-root", 155, ".", "."),
    call("open-a-file-system", 430, "tmpfs", 0, outcome="ENOSYS"),
    call("open-a-tree-of-mounts", 428, AT_CWD, "/", 0, outcome="ENOSYS"),
    call("change-the-attributes-of-a-mount", 442, AT_CWD, "/", 0, "@", 32, outcome="ENOSYS"),
    call("swap-to-a-file", 167, "/tmp/swap", 0),
    call("socket-unix", 41, 1, 1, 0),
    call("socket-inet-tcp", 41, 2, 1, 0),
    call("socket-inet-udp", 41, 2, 2, 0),
    call("socket-inet6", 41, 10, 1, 0),
    call("socket-netlink", 41, 16, 3, 0),
    call("socket-packet", 41, 17, 3, 0),
    call("socket-alg", 41, 38, 5, 0),
    call("socket-vsock", 41, 40, 1, 0),
    call("socket-pair", 53, 1, 1, 0, "@"),
    call("connect-the-socket-elsewhere", 42, "socket", "@", 110),
    call("bind-the-socket", 49, "socket", "@", 110),
    call("listen-at-the-socket", 50, "socket", 1),
    call("accept-at-the-socket", 288, "socket", None, None, 0),
    call("send-a-descriptor", 46, "socket", "@", 0),
    call("receive-a-descriptor", 47, "socket", "@", 0),
    call("send-many-messages", 307, "socket", "@", 1, 0),
    call("receive-many-messages", 299, "socket", "@", 1, 0, None),
    call("send-to-another-address", 44, "socket", "@", 1, 0, "@", 110),
    call("send-to-an-address-above-32-bits", 44, "socket", "@", 1, 0, 1 << 32, 110),
    call("set-a-socket-option", 54, "socket", 1, 16, "@", 4),
    call("io-uring-setup", 425, 8, "@", outcome="ENOSYS"),
    call("io-uring-enter", 426, 3, 1, 0, 0, None, 0, outcome="ENOSYS"),
    call("io-uring-register", 427, 3, 0, "@", 1, outcome="ENOSYS"),
    call("asynchronous-io", 206, 8, "@"),
    call("trace-the-parent", 101, 16, "parent", 0, 0),
    call("read-the-memory-of-the-parent", 310, "parent", "@", 1, "@", 1, 0),
    call("write-the-memory-of-the-parent", 311, "parent", "@", 1, "@", 1, 0),
    call("advise-on-the-memory-of-the-parent", 440, 3, "@", 1, 4, 0, outcome="ENOSYS"),
    call("compare-with-the-parent", 312, "parent", "self", 0, 0, 0),
    call("open-the-parent-as-a-descriptor", 434, "parent", 0, outcome="ENOSYS"),
    call("take-a-descriptor-of-the-parent", 438, 3, 0, 0, outcome="ENOSYS"),
    call("signal-the-parent-by-descriptor", 424, 3, 9, None, 0, outcome="ENOSYS"),
    call("kill-the-parent", 62, "parent", 0),
    call("kill-every-process", 62, -1, 0),
    call("kill-the-process-group", 62, 0, 0),
    call("kill-a-thread-of-the-parent", 234, "parent", "parent", 0),
    call("kill-a-thread-in-the-old-way", 200, "parent", 0),
    call("queue-a-signal-for-the-parent", 129, "parent", 10, "@"),
    call("load-a-bpf-program", 321, 5, "@", 48),
    call("count-events", 298, "@", 0, -1, -1, 0),
    call("handle-page-faults", 323, 0),
    call("read-a-key", 250, 11, -3, "@", 512),
    call("add-a-key", 248, "user", "name", "@", 1, -3),
    call("request-a-key", 249, "user", "name", None, -3),
    call("fork", 57),
    call("vfork", 58),
    call("clone-a-process", 56, 17, None, None, None, None),
    call("clone-a-process-that-shares-its-memory", 56, 0x100 | 17, None, None, None, None),
    call("clone-into-a-user-namespace", 56, 0x10000000 | 17, None, None, None, None),
    call("clone-a-thread-into-a-network-namespace", 56, 0x3D0F00 | 0x40000000, None, None, None, None),
    call("clone-a-thread-without-its-usual-flags", 56, 0x10F00, None, None, None, None),
    call("clone3", 435, "@", 88, outcome="ENOSYS"),
    call("leave-into-a-user-namespace", 272, 0x10000000),
    call("leave-into-a-mount-namespace", 272, 0x00020000),
    call("enter-the-namespaces-of-the-parent", 308, 3, 0),
    call("prctl-become-dumpable", 157, 4, 1, 0, 0, 0),
    call("prctl-let-anybody-trace", 157, 0x59616D61, -1, 0, 0, 0),
    call("prctl-raise-an-ambient-capability", 157, 47, 2, 1, 0, 0),
    call("prctl-name-memory-of-the-program", 157, 35, 14, "@", 4, 0),
    call("prctl-die-with-nobody", 157, 1, 0, 0, 0, 0),
    call("prctl-set-security-bits", 157, 28, 0, 0, 0, 0),
    call("arch-prctl-fault-on-cpuid", 158, 0x1012, 0),
    call("put-a-filter-above-the-filter", 317, 1, 0, "@"),
    call("make-a-landlock-ruleset", 444, None, 0, 1, outcome="ENOSYS"),
    call("change-the-personality", 135, 0x0400000),
    call("raise-a-limit-in-the-old-way", 160, 7, "@"),
    call("raise-the-limit-of-open-files", 302, 0, 7, "@", None),
    call("lower-a-limit-of-the-parent", 302, "parent", 0, "@", None),
    call("read-a-limit-of-the-parent", 302, "parent", 0, None, "@"),
    call("ioctl-on-the-socket", 16, "socket", 0x541B, "@"),
    call("turn-off-the-life-pipe", 72, "life_pipe", 4, 0),
    call("give-the-life-pipe-another-owner", 72, "life_pipe", 8, "parent"),
    call("duplicate-a-descriptor-to-a-number", 33, "socket", 1),
    call("make-a-pipe", 293, "@", 0),
    call("make-an-event", 290, 0, 0),
    call("make-an-epoll", 291, 0),
    call("become-another-user", 105, 12345),
    call("take-capabilities", 126, "@", "@"),
    call("leave-the-session", 112),
    call("leave-the-process-group", 109, 0, 0),
    call("raise-the-priority", 141, 0, 0, -20),
    call("take-the-processor-alone", 144, 0, 1, "@"),
    call("shared-memory", 29, 0, 4096, 0o1600),
    call("message-queue", 68, 0, 0o1600),
    call("named-message-queue", 240, "queue", 0o102, 0o600, None),
    call("semaphores", 64, 0, 1, 0o1600),
    call("splice-between-descriptors", 275, "frames", None, "socket", None, 1, 0),
    call("send-a-file", 40, "socket", "frames", None, 1),
    call("copy-between-files", 326, "frames", None, "frames", None, 1, 0),
    call("load-a-module", 313, "frames", "", 0),
    call("load-a-kernel", 246, 0, 0, None, 0),
    call("reboot", 169, 0xFEE1DEAD, 672274793, 0x1234567, None),
    call("set-the-clock", 227, 0, "@"),
    call("read-the-log-of-the-kernel", 103, 3, "@", 512),
    call("ports-of-the-machine", 172, 3),
    call("segments-of-the-processor", 154, 0, "@", 16),
    call("migrate-pages-of-the-parent", 256, "parent", 8, "@", "@"),
    call("open-by-the-x32-table", X32 | 2, "/etc/passwd", READ_ONLY, outcome="ENOSYS"),
    call("read-by-the-x32-table", X32 | 0, "socket", "@", 1, outcome="ENOSYS"),
    call("x32-ptrace", X32 | 521, 16, "parent", 0, 0, outcome="ENOSYS"),
    call("a-call-that-no-kernel-has-yet", 1000, outcome="ENOSYS"),
    call("a-call-of-the-highest-number", 0xFFFFFFFF, outcome="ENOSYS"),
]

ORDERS = [
    pytest.param(["read_file", "/proc/{parent}/environ"], "EPERM", id="read-the-environment-of-the-parent"),
    pytest.param(["read_file", "/proc/1/environ"], "EPERM", id="read-the-environment-of-the-first-process"),
    pytest.param(["read_file", "/proc/{parent}/cmdline"], "EPERM", id="read-the-command-line-of-the-parent"),
    pytest.param(["read_file", "/proc/self/environ"], "EPERM", id="read-what-it-was-started-with"),
    pytest.param(["read_memory_of_parent"], "EPERM", id="read-the-memory-of-the-parent-by-libc"),
    pytest.param(["environment"], "[]", id="look-into-ones-own-environment"),
    pytest.param(["connect", 1, 1], "EPERM", id="make-a-unix-socket-by-python"),
    pytest.param(["connect", 40, 1], "EPERM", id="make-a-vsock-socket-by-python"),
    pytest.param(["open_many"], "EMFILE", id="open-descriptors-without-end"),
    pytest.param(["grow_frames"], "EFBIG", id="write-beyond-the-shared-frames"),
    pytest.param(["raise_limit", "RLIMIT_NOFILE"], "not allowed to raise maximum limit", id="allow-oneself-more-files"),
    pytest.param(["raise_limit", "RLIMIT_CORE"], "not allowed to raise maximum limit", id="allow-oneself-a-core-dump"),
    pytest.param(["raise_limit", "RLIMIT_AS"], "not allowed to raise maximum limit", id="allow-oneself-more-memory"),
]

ENDED = [
    pytest.param(["start_threads", 80], {}, DecoderCrash, "more than 64 threads", id="start-threads-without-end"),
    pytest.param(["hoard_memory"], {"memory_mib": 256}, MemoryLimit, "memory_mib", id="take-all-memory"),
    pytest.param(
        ["ignore_and_sleep"], {"open_seconds": 0.3}, DecodeTimeout, "open_seconds", id="ignore-signals-and-sleep"
    ),
]

Attempt = Callable[[list[object]], str]


@pytest.fixture(scope="module")
def make_hostile() -> Iterator[Callable[..., Sandbox]]:
    """A sandbox for `hostile_readers.Hostile`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)  # the child takes over where modules are looked for
        patch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
        patch.setitem(DECODERS, "hostile", Decoder(package="json", reader="hostile_readers:Hostile"))
        made: list[Sandbox] = []

        def make(*, without: tuple[str, ...] = (), **limits: Any) -> Sandbox:
            made.append(Sandbox(DecodeConfig(**limits), ["hostile"], without=without))
            return made[-1]

        yield make
        for sandbox in made:
            sandbox.close()


@pytest.fixture(scope="module")
def attempt(make_hostile: Callable[..., Sandbox]) -> Attempt:
    """The outcome of an order in a process that seccomp alone confines."""
    sandbox = make_hostile(without=SECCOMP_ALONE)
    if "seccomp" not in sandbox.start():
        pytest.fail("this machine has no seccomp: the sandbox cannot be tested on it")

    return lambda order: obey(sandbox, order)


def obey(sandbox: Sandbox, order: list[object]) -> str:
    with pytest.raises(DecodeFailed) as caught:
        sandbox.open("hostile", Bytes(MATROSKA + json.dumps(order).encode()))
    return str(caught.value)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86-64")
@pytest.mark.parametrize(("order", "outcome"), CALLS)
def test_a_system_call_beyond_the_list_is_refused(attempt: Attempt, order: list[object], outcome: str) -> None:
    assert attempt(order) == outcome


@pytest.mark.parametrize(("order", "outcome"), ORDERS)
def test_what_a_decoder_reaches_for_is_not_there(attempt: Attempt, order: list[object], outcome: str) -> None:
    try:
        assert outcome in attempt(order)
    finally:
        if order == ["open_many"]:
            assert attempt(["close_many"]) == "closed"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have no such manner")
@pytest.mark.parametrize("number", [pytest.param(5, id="i386-open"), pytest.param(359, id="i386-socket")])
def test_the_32_bit_table_of_the_processor_is_no_way_around(make_hostile: Callable[..., Sandbox], number: int) -> None:
    sandbox = make_hostile(without=SECCOMP_ALONE)
    with pytest.raises((DecodeFailed, DecoderCrash), match=r"^ENOSYS$|SIGSEGV"):  # a kernel may be built without it
        sandbox.open("hostile", Bytes(MATROSKA + json.dumps(["i386", number]).encode()))


@pytest.mark.parametrize(("order", "limits", "error_class", "words"), ENDED)
def test_what_takes_too_much_is_ended(
    make_hostile: Callable[..., Sandbox],
    order: list[object],
    limits: dict[str, Any],
    error_class: type[VideoError],
    words: str,
) -> None:
    sandbox = make_hostile(**limits)
    with pytest.raises(error_class, match=words):
        sandbox.open("hostile", Bytes(MATROSKA + json.dumps(order).encode()))
    assert sandbox.pid is None


def test_the_process_has_hard_limits_and_cannot_be_looked_into(make_hostile: Callable[..., Sandbox]) -> None:
    sandbox = make_hostile()
    sandbox.start()
    lines = Path(f"/proc/{sandbox.pid}/limits").read_text().splitlines()
    limits = {line[:26].strip(): tuple(line[26:].split()[:2]) for line in lines}
    assert limits["Max core file size"] == ("0", "0")
    assert limits["Max file size"] == ("0", "0")
    assert limits["Max open files"] == ("32", "32")
    assert limits["Max address space"][0] == limits["Max address space"][1] != "unlimited"
    status = Path(f"/proc/{sandbox.pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "CapPrm:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert os.stat(f"/proc/{sandbox.pid}/environ").st_uid == 0, "it is not dumpable"
