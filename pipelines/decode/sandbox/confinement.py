"""The confinement that a decoder process puts on itself, after its packages are imported and before it sees a byte.

Each step reports whether it is in force. A system that lacks one goes on without it; whether the rest is enough, the
parent decides: see `promise`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import platform
import resource
import select
import signal
import sys
from collections.abc import Callable, Collection

from framegate.pipelines.decode.sandbox.landlock import give_up_files
from framegate.pipelines.decode.sandbox.namespaces import drop_capabilities, leave_for_empty_root
from framegate.pipelines.decode.sandbox.promise import MECHANISMS, Confinement
from framegate.pipelines.decode.sandbox.system_calls import AUDIT_ARCHES, build_filter

MAX_OPEN_FILES = 32  # new descriptors get the lowest free numbers; those that are open already stay
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1  # all threads, also those that a package started while it was imported
_SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4  # older kernels otherwise slow the process down against Spectre


def confine(*, life_pipe: int, memory_bytes: int, without: Collection[str] = ()) -> Confinement:
    """Confines this process for good, by all of MECHANISMS that the machine has. `without`: as if it had not these."""
    idle_bytes, num_threads = address_space_bytes(), _count_threads()  # later /proc may be gone
    steps: list[tuple[str, Callable[[], str]]] = [("life_pipe", lambda: _die_with(life_pipe))]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        steps += [
            # Landlock refuses to mount, and a process that nobody may look into cannot write its own map of users.
            ("namespaces", lambda: leave_for_empty_root(libc)),
            ("rlimits", lambda: _limit_resources(idle_bytes, memory_bytes)),
            ("no_new_privileges", lambda: _give_up_privileges(libc)),
            ("landlock", lambda: give_up_files(libc, num_threads=num_threads)),
            ("no_capabilities", lambda: _said(drop_capabilities(libc))),
            ("seccomp", lambda: _filter_system_calls(libc)),
        ]
    else:
        steps.append(("rlimits", lambda: _limit_resources(idle_bytes, memory_bytes)))
    missing = dict.fromkeys(MECHANISMS, f"{sys.platform} has none")
    for name, step in steps:
        missing[name] = "left out" if name in without else step()
    os.environ.clear()
    return Confinement(
        tuple(name for name in MECHANISMS if not missing[name]),
        {name: why for name, why in missing.items() if why},
    )


def allow_cpu_seconds(seconds: float) -> None:
    """From now on. The kernel then ends the process with SIGXCPU, if nobody else has."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 2  # it counts whole seconds
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def address_space_bytes() -> int:
    """What this process maps now; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _count_threads() -> int:
    """Of this process; 0 where the system does not say."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 0


def _die_with(life_pipe: int) -> str:
    """The kernel sends SIGIO when the parent's end of the pipe closes, however the parent ends.

    Its default action ends the process, wherever that is: no thread and no GIL is needed. PR_SET_PDEATHSIG would fire
    when the *thread* ends that started us.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGIO])
    try:
        fcntl.fcntl(life_pipe, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(life_pipe, fcntl.F_SETFL, fcntl.fcntl(life_pipe, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError as error:
        return str(error)
    poll = select.poll()
    poll.register(life_pipe, select.POLLIN)
    if poll.poll(0):  # it has closed before we could ask for the signal
        os._exit(1)
    return ""


def _limit_resources(idle_bytes: int, memory_bytes: int) -> str:
    """Hard limits: they cannot be raised again. The CPU's is soft, see `allow_cpu_seconds`. Threads have none here: the
    system counts those of a user, on the whole machine. The parent counts them, see `process.MAX_THREADS`."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,  # of files; the parent makes room for the frames
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
    }
    if idle_bytes:
        limits[resource.RLIMIT_AS] = idle_bytes + memory_bytes
    for limit, value in limits.items():
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (value, value))
    is_bounded = bool(idle_bytes) and resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    return "" if is_bounded else "memory cannot be bounded"


def _give_up_privileges(libc: ctypes.CDLL) -> str:
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # no other process of this user may look into it
    return _said(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def _said(is_done: bool) -> str:
    """ "" where a call of C succeeded, else its error."""
    return "" if is_done else os.strerror(ctypes.get_errno())


def _filter_system_calls(libc: ctypes.CDLL) -> str:
    machine = platform.machine()
    if machine not in AUDIT_ARCHES or sys.maxsize < 2**32 or sys.byteorder != "little":
        return f"there is no list of system calls for {machine}, only for: {', '.join(AUDIT_ARCHES)}"
    code = build_filter(machine, os.getpid())

    class Program(ctypes.Structure):  # struct sock_fprog
        _fields_ = (("num_instructions", ctypes.c_ushort), ("instructions", ctypes.c_char_p))

    program = Program(len(code) // 8, code)
    return _said(
        any(
            libc.syscall(_SYS_SECCOMP[machine], _SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(program)) == 0
            for flags in (_SECCOMP_FILTER_FLAG_TSYNC | _SECCOMP_FILTER_FLAG_SPEC_ALLOW, _SECCOMP_FILTER_FLAG_TSYNC)
        )
    )
