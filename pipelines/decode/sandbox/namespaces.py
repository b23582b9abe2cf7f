"""Namespaces: a process moves into an empty root without network, and gives up its capabilities.

Needs a kernel and a container that let an unprivileged process make a user namespace. See user_namespaces(7).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Final

_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_NETWORK = 0x00020000, 0x08000000, 0x10000000, 0x40000000
_NO_SUID, _NO_DEVICES, _NO_PROGRAMS, _RECURSIVE, _PRIVATE = 0x2, 0x4, 0x8, 0x4000, 1 << 18
_DETACH = 2
_NOBODY: Final = 65534
# The empty root is mounted over a folder that every Linux has.
_OVER: Final = b"/proc"
_CAPABILITIES_VERSION = 0x20080522


def leave_for_empty_root(libc: ctypes.CDLL) -> str:
    """No path leads to a file any more, there is no network but an empty one of its own, and no process outside of it
    can be looked into. Returns "" where that is in force, else why not.

    A process that has come half of the way keeps what it has come to, and goes on without the rest. Only where the
    process has one thread: the others would stay.
    """
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_NEW_USER | _NEW_NETWORK | _NEW_MOUNTS | _NEW_IPC) != 0:
        return os.strerror(ctypes.get_errno())
    try:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{_NOBODY} {user} 1"),
            ("gid_map", f"{_NOBODY} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    except OSError as error:
        return error.strerror or str(error)
    steps: tuple[Callable[[], int], ...] = (
        lambda: libc.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None),
        lambda: libc.mount(
            b"none", _OVER, b"tmpfs", _NO_SUID | _NO_DEVICES | _NO_PROGRAMS, b"mode=0555,size=4k,nr_inodes=1"
        ),
        lambda: libc.chdir(_OVER),
        lambda: libc.pivot_root(b".", b"."),
        lambda: libc.umount2(b".", _DETACH),
        lambda: libc.chdir(b"/"),
    )
    for step in steps:
        if step() != 0:
            return os.strerror(ctypes.get_errno())
    return ""


def drop_capabilities(libc: ctypes.CDLL) -> bool:
    """Of this thread: a process that runs as root, or that has a user namespace of its own, has none from now on."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
    return libc.capset(header, (ctypes.c_uint32 * 6)()) == 0
