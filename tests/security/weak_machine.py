"""A machine that lacks something: `python weak_machine.py 317,272 FILE` runs a Python file with these system calls
refused, as a container's own filter refuses them, in this process and all that it starts."""

from __future__ import annotations

import ctypes
import errno
import runpy
import struct
import sys

SECCOMP, UNSHARE, LANDLOCK = 317, 272, 444  # on x86-64


def refuse(numbers: list[int]) -> None:
    """From now on these calls fail with EPERM."""

    def op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("<HBBI", code, if_true, if_false, value)

    code = op(0x20, 0)
    for number in numbers:
        code += op(0x15, number, 0, 1) + op(0x06, 0x50000 | errno.EPERM)
    code += op(0x06, 0x7FFF0000)

    class Program(ctypes.Structure):
        _fields_ = (("num_instructions", ctypes.c_ushort), ("instructions", ctypes.c_char_p))

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)
    program = Program(len(code) // 8, code)
    if libc.syscall(SECCOMP, 1, 0, ctypes.byref(program)) != 0:
        raise OSError(ctypes.get_errno(), "this machine has no seccomp, so that nothing can be refused on it")


if __name__ == "__main__":
    refuse([int(number) for number in sys.argv[1].split(",") if number])
    sys.argv = sys.argv[2:]
    runpy.run_path(sys.argv[0], run_name="__main__")
