"""Decoders under foreign command, for the attacks on the sandbox. Its process imports this file by its name.

Each does what the file says after its first four bytes, in JSON, and gives the outcome as the message of an error.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import sys
import threading
import time

from framegate.pipelines.decode.readers.reader import VideoHeader
from framegate.schemas.errors import DecodeFailed

LIBC = ctypes.CDLL(None, use_errno=True)
PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_long)
TOLD = json.loads(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].startswith("{") else {}
HOARD: list[object] = []


class Hostile:
    """An order is ["call", number, arguments...], ["i386", number], or the name of a function below and its
    arguments."""

    def __init__(self, file, *, container, limits):
        file.seek(4)
        name, *arguments = json.loads(file.read())
        try:
            outcome = ORDERS[name](*arguments)
        except OSError as error:
            outcome = errno.errorcode.get(error.errno or 0, str(error))
        self.header = VideoHeader(
            container=container, codec="none", display_height=4, display_width=6, duration_seconds=1.0
        )
        raise DecodeFailed(str(outcome))

    def close(self):
        pass


def call(number, *arguments):
    """A system call by its number: strings are paths, None is a null pointer, "@" stands for 512 bytes to write into,
    "parent" and "self" for processes, "socket", "frames" and "life_pipe" for open descriptors."""
    values = [_value(argument) for argument in arguments]
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), *values)
    return result if result != -1 else errno.errorcode.get(ctypes.get_errno(), "none")


def _value(argument):
    known = {"parent": os.getppid, "self": os.getpid}
    if argument in known:
        return ctypes.c_long(known[argument]())
    if argument in ("socket", "frames", "life_pipe"):
        return ctypes.c_long(TOLD[argument])
    if argument == "@":
        buffer = ctypes.create_string_buffer(512)
        HOARD.append(buffer)
        return ctypes.byref(buffer)
    if isinstance(argument, str):
        argument = argument.replace("{parent}", str(os.getppid())).encode()
        return ctypes.c_char_p(argument)
    return ctypes.c_void_p(None) if argument is None else ctypes.c_long(argument)


def i386(number):
    """The same processor in its 32-bit manner: a table of system calls of its own, which begins with int 0x80."""
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    HOARD.append(code)
    # push rbx; mov eax, number; xor ebx, ebx; int 0x80; cdqe; pop rbx; ret
    code.write(b"\x53\xb8" + number.to_bytes(4, "little") + b"\x31\xdb\xcd\x80\x48\x98\x5b\xc3")
    result = PROTOTYPE(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
    return errno.errorcode.get(-result, result)


def environment():
    return sorted(os.environ) + [name for name in ("HOME", "AWS_SECRET_ACCESS_KEY") if LIBC.getenv(name.encode())]


def read_file(path):
    with open(path.replace("{parent}", str(os.getppid())), "rb") as file:
        return file.read(100)


def read_memory_of_parent():
    """Eight bytes from where this process has its own C library."""
    buffer, here = ctypes.create_string_buffer(8), ctypes.cast(LIBC.getpid, ctypes.c_void_p).value
    local, remote = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8), (ctypes.c_size_t * 2)(here, 8)
    ctypes.set_errno(0)
    result = LIBC.process_vm_readv(os.getppid(), local, ctypes.c_ulong(1), remote, ctypes.c_ulong(1), ctypes.c_ulong(0))
    return result if result != -1 else errno.errorcode[ctypes.get_errno()]


def connect(family, kind):
    socket.socket(family, kind).close()
    return "made"


def start_threads(number):
    for _ in range(number):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    time.sleep(60)


def open_many():
    descriptors = []
    while len(descriptors) < 1000:
        descriptors.append(fcntl.fcntl(TOLD["frames"], fcntl.F_DUPFD_CLOEXEC, 0))
    return len(descriptors)


def close_many():
    """Each video is to leave as many free as the last one."""
    for descriptor in range(40):
        if descriptor not in (TOLD["socket"], TOLD["frames"], TOLD["life_pipe"], 0, 1, 2):
            try:
                os.close(descriptor)
            except OSError:
                continue
    return "closed"


def grow_frames():
    return os.pwrite(TOLD["frames"], b"x", 1 << 40)


def raise_limit(which):
    resource.setrlimit(getattr(resource, which), (1 << 20, 1 << 20))
    return "raised"


def hoard_memory():
    while True:
        HOARD.append(bytearray(64 << 20))


def ignore_and_sleep():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGIO, signal.SIGXCPU):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(3600)


ORDERS = {
    function.__name__: function
    for function in (
        call, i386, environment, read_file, read_memory_of_parent, connect, start_threads, open_many, close_many,
        grow_frames, raise_limit, hoard_memory, ignore_and_sleep,
    )
}  # fmt: skip
