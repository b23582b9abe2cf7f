"""The system calls that a decoder needs after its imports, and the filter that refuses all others.

It is an allow list, so calls that later kernels add are refused, too. A refused call fails with an error code and does
not kill the process: EPERM, or ENOSYS where a call is so new that a C library has an older way (such as clone3, whose
flags lie in memory, where filters cannot look). For the same reason there is no newfstatat: it takes a path, whatever
its flags say, and no filter sees that the path is empty.
"""

from __future__ import annotations

import errno
import fcntl
import struct
from typing import Final, NamedTuple

AUDIT_ARCHES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# From this number on, all architectures share one table: what was added since Linux 5.1.
FIRST_NEW_CALL = 424

# name: (number on x86_64, number on aarch64); None where there is none.
_FREE: Final[dict[str, tuple[int | None, int | None]]] = {
    # bytes through descriptors that are open already
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67), "pwrite64": (18, 68),
    "lseek": (8, 62), "fstat": (5, 80), "close": (3, 57), "recvfrom": (45, 207),
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    # memory
    "mmap": (9, 222), "munmap": (11, 215), "mprotect": (10, 226), "mremap": (25, 216),
    "madvise": (28, 233), "brk": (12, 214),
    # threads
    "futex": (202, 98), "futex_waitv": (449, 449), "set_robust_list": (273, 99), "rseq": (334, 293),
    "set_tid_address": (218, 96), "membarrier": (324, 283), "exit": (60, 93), "exit_group": (231, 94),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "getcpu": (309, 168), "gettid": (186, 178),
    # signals to ourselves come in through `kill` and `tgkill` below
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    # clocks and questions
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "nanosleep": (35, 101),
    "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153), "restart_syscall": (219, 128),
    "getpid": (39, 172), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "getrusage": (98, 165), "sysinfo": (99, 179), "uname": (63, 160), "getrandom": (318, 278),
}  # fmt: skip
# The flags by which glibc and musl make a thread, exactly: others would make a process, or a namespace.
_THREAD_FLAGS = (0x3D0F00, 0x7D0F00)
_PR_SET_NAME = 15
_F_DUPFD_CLOEXEC = 1030
_RLIMIT_CPU = 0


class _Only(NamedTuple):
    """A call is let through if its argument, a C int, is one of the values; a pointer must be null."""

    argument: int
    values: tuple[int, ...] = (0,)
    is_pointer: bool = False


def _bound(pid: int) -> dict[str, tuple[int, int, tuple[_Only, ...]]]:
    """name: (number on x86_64, on aarch64, all of what must hold) for the process `pid`."""
    return {
        "clone": (56, 220, (_Only(0, values=_THREAD_FLAGS),)),
        "sendto": (44, 206, (_Only(4, is_pointer=True),)),  # to the parent, and to no other address
        "kill": (62, 129, (_Only(0, values=(pid,)),)),
        "tgkill": (234, 131, (_Only(0, values=(pid,)),)),
        "prctl": (157, 167, (_Only(0, values=(_PR_SET_NAME,)),)),  # threads are given names
        # The life pipe's flags cannot be changed back. mmap takes a duplicate of its descriptor.
        "fcntl": (72, 25, (_Only(1, values=(_F_DUPFD_CLOEXEC, fcntl.F_GETFD, fcntl.F_GETFL)),)),
        "prlimit64": (302, 261, (_Only(0), _Only(1, values=(_RLIMIT_CPU,)))),  # renewed for each video
    }


def build_filter(machine: str, pid: int) -> bytes:
    """The filter as instructions of classic BPF, 8 bytes each, for `struct seccomp_data`; see seccomp(2).

    `machine` is a key of `AUDIT_ARCHES`.
    """
    column = list(AUDIT_ARCHES).index(machine)
    code = [_load(4), _op(_JUMP_EQUAL, AUDIT_ARCHES[machine], 1, 0), _refuse(errno.ENOSYS), _load(0)]
    for numbers in _FREE.values():
        number = numbers[column]
        if number is not None:
            code += [_op(_JUMP_EQUAL, number, 0, 1), _ALLOW]
    for *numbers, conditions in _bound(pid).values():
        checks = [instruction for condition in conditions for instruction in _check(condition)]
        code += [_op(_JUMP_EQUAL, numbers[column], 0, len(checks) + 1), *checks, _ALLOW]
    code += [_op(_JUMP_AT_LEAST, FIRST_NEW_CALL, 0, 1), _refuse(errno.ENOSYS), _refuse(errno.EPERM)]
    return b"".join(code)


_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


_ALLOW = _op(_RETURN, 0x7FFF0000)


def _refuse(error: int) -> bytes:
    return _op(_RETURN, 0x00050000 | error)


def _load(offset: int) -> bytes:
    return _op(_LOAD_WORD, offset)


def _check(condition: _Only) -> list[bytes]:
    """Refuses unless the condition holds, then goes on. Of an int the lower 32 bits count, as for the kernel."""
    words = (16, 20) if condition.is_pointer else (16,)
    code = []
    for word in words:
        left = len(condition.values)
        tests = [_op(_JUMP_EQUAL, value, left - index, 0) for index, value in enumerate(condition.values)]
        code += [_load(word + 8 * condition.argument), *tests, _refuse(errno.EPERM)]
    return code
