"""The list of system calls, for both processors: its numbers are those of Linux's own headers, and the filter lets
through the list and nothing else.

The filter is run here by the few instructions that it has, as the kernel runs it. That is all that is run of aarch64's.
"""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path
from typing import Final

import pytest

from framegate.pipelines.decode.sandbox.system_calls import _FREE, AUDIT_ARCHES, FIRST_NEW_CALL, _bound, build_filter

PID: Final = 4711
ALLOWED: Final = 0x7FFF0000
HEADERS: Final = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),  # all younger processors share this one
}
THREAD: Final = 0x3D0F00
MACHINES: Final = list(AUDIT_ARCHES)


def verdict(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """What the filter returns for a system call."""
    words = (*arguments, *(0,) * (6 - len(arguments)))
    arch = AUDIT_ARCHES[machine] if arch is None else arch
    data = struct.pack("<IIQ6Q", number, arch, 0, *(word & (1 << 64) - 1 for word in words))
    code = list(struct.iter_unpack("<HBBI", build_filter(machine, PID)))
    accumulator, at = 0, 0
    while True:
        operation, if_true, if_false, value = code[at]
        at += 1
        if operation == 0x20:  # load
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x06:  # return
            return value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value}[operation]
            at += if_true if holds else if_false


def numbers_of(machine: str) -> dict[str, int]:
    path = next((Path(name) for name in HEADERS[machine] if Path(name).exists()), None)
    if path is None:
        pytest.skip("Linux's headers are not installed here (linux-libc-dev)")
    defined = dict(re.findall(r"^#define (__NR\w+)[ \t]+(\w+)", path.read_text(), re.MULTILINE))
    resolved = {name: defined.get(value, value) for name, value in defined.items() if name.startswith("__NR_")}
    return {name.removeprefix("__NR_"): int(value) for name, value in resolved.items() if value.isdecimal()}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_those_of_linux(machine: str) -> None:
    column, known = MACHINES.index(machine), numbers_of(machine)
    listed = {name: numbers[column] for name, numbers in _FREE.items()}
    listed |= {name: numbers[column] for name, numbers in _bound(PID).items()}
    assert {name: known.get(name) for name in listed} == listed


@pytest.mark.parametrize("machine", MACHINES)
def test_the_filter_lets_through_the_list_and_nothing_else(machine: str) -> None:
    column = MACHINES.index(machine)
    free = {numbers[column] for numbers in _FREE.values()}
    for number in [*range(600), *range(1 << 30, (1 << 30) + 600), 0xFFFFFFFF]:
        code = verdict(machine, number, *(0x7EADBEEF,) * 6)
        if number in free:
            assert code == ALLOWED
        else:
            assert code == 0x50000 | (errno.ENOSYS if number >= FIRST_NEW_CALL else errno.EPERM), number


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "is_allowed"),
    [
        pytest.param("clone", (THREAD,), True, id="a-thread"),
        pytest.param("clone", (THREAD | 0x400000,), True, id="a-thread-of-musl"),
        pytest.param("clone", (THREAD | 0x10000000,), False, id="a-thread-in-a-user-namespace"),
        pytest.param("clone", (17,), False, id="a-process"),
        pytest.param("kill", (PID,), True, id="a-signal-to-itself"),
        pytest.param("kill", (0,), False, id="a-signal-to-the-group"),
        pytest.param("kill", (-1,), False, id="a-signal-to-all"),
        pytest.param("tgkill", (PID, PID + 1), True, id="a-signal-to-its-thread"),
        pytest.param("tgkill", (PID + 1, PID + 1), False, id="a-signal-to-another-process"),
        pytest.param("prctl", (15,), True, id="a-name-for-a-thread"),
        pytest.param("prctl", (4,), False, id="becoming-dumpable"),
        pytest.param("fcntl", (5, 1030), True, id="a-duplicate"),
        pytest.param("fcntl", (5, 4), False, id="other-flags-for-a-descriptor"),
        pytest.param("prlimit64", (0, 0), True, id="its-own-limit-of-cpu-time"),
        pytest.param("prlimit64", (0, 7), False, id="its-own-limit-of-files"),
        pytest.param("prlimit64", (PID + 1, 0), False, id="the-limit-of-another"),
        pytest.param("sendto", (3, 1, 1, 0, 0, 0), True, id="to-the-parent"),
        pytest.param("sendto", (3, 1, 1, 0, 1, 16), False, id="to-an-address"),
        pytest.param("sendto", (3, 1, 1, 0, 1 << 32, 16), False, id="to-an-address-above-32-bits"),
    ],
)
def test_arguments_decide_where_they_must(
    machine: str, name: str, arguments: tuple[int, ...], is_allowed: bool
) -> None:
    number = _bound(PID)[name][MACHINES.index(machine)]
    assert isinstance(number, int)
    assert (verdict(machine, number, *arguments) == ALLOWED) is is_allowed


@pytest.mark.parametrize("machine", MACHINES)
def test_the_table_of_another_processor_is_refused(machine: str) -> None:
    """i386 (0x40000003) and ARM's 32 bits (0x40000028) among them: their numbers mean other calls."""
    for arch in (0x40000003, 0x40000028, *(arch for name, arch in AUDIT_ARCHES.items() if name != machine)):
        for number in range(500):
            assert verdict(machine, number, arch=arch) == 0x50000 | errno.ENOSYS
