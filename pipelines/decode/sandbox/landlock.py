"""Landlock: a process gives up all access to files, and with later kernels to TCP, foreign sockets and signals.

Linux has it from 5.13 on. See landlock(7). The numbers are the same on all architectures.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_ASK_VERSION = 1
# By the version of Landlock (ABI) that has them: how many rights over files, rights over TCP, and scopes there are.
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16}
_TCP_RIGHTS: Final = {4: 2}
_SCOPES: Final = {6: 2}


def give_up_files(libc: ctypes.CDLL, *, num_threads: int) -> str:
    """No file can be opened, made or removed from now on by this thread and those that it makes.

    Returns "" where that is in force, else why not. Needs no_new_privileges. Takes the newest rights that the kernel
    knows; those of later kernels stay. `num_threads` are those of this process: it is not held by half.
    """
    if num_threads != 1:
        return "a package has started threads, which it would not hold"
    version = libc.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    if version < 1:
        return os.strerror(ctypes.get_errno())
    words = [_mask(rights, version) for rights in (_FILE_RIGHTS, _TCP_RIGHTS, _SCOPES)]
    # A kernel takes a longer structure than it knows where the rest is zero.
    attributes = struct.pack("=QQQ", *words)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return os.strerror(ctypes.get_errno())
    try:
        if libc.syscall(_RESTRICT_SELF, ruleset, 0) != 0:
            return os.strerror(ctypes.get_errno())
    finally:
        os.close(ruleset)
    return ""


def _mask(rights: dict[int, int], version: int) -> int:
    return (1 << max((number for since, number in rights.items() if since <= version), default=0)) - 1
