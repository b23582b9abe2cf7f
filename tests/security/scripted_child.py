"""A decoder's process that says what a test has it say, and reads what it likes."""

from __future__ import annotations

import json
from functools import partial

from framegate.pipelines.decode.sandbox.process import ChildProcess
from framegate.pipelines.decode.sandbox.sandbox import Sandbox
from framegate.schemas.config import DecodeConfig

READY = {"kind": "ready", "in_force": ["seccomp"], "missing": {}}
HEADER = {
    "container": "matroska", "codec": "grey", "display_height": 4, "display_width": 6, "duration_seconds": 9.0,
    "fps": 25.0, "num_streams": 1, "is_cut_short": False, "gaps": [], "rotation": 0, "created_seconds": None,
}  # fmt: skip
OPENED = {"kind": "opened", "tells_progress": True, "header": HEADER}

_BEGIN = """
import json, os, socket, struct, sys, time
told = json.loads(sys.argv[1])
connection = socket.socket(fileno=told["socket"])
def say(message):
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    connection.sendall(struct.pack("<IQ", len(data), 0) + data)
def take(size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data), socket.MSG_WAITALL)
        if not more:
            sys.exit(0)
        data += more
    return data
def hear():
    num_bytes, num_payload = struct.unpack("<IQ", take(12))
    return json.loads(take(num_bytes)), take(num_payload)
"""


def opened(**header: object) -> dict[str, object]:
    """The answer to a request to open, with some fields of the header changed."""
    return {**OPENED, "header": {**HEADER, **header}}


def scripted(*said: object, then: str = "time.sleep(3600)", **limits: object) -> Sandbox:
    """A sandbox whose process says that it is ready, and `said`, whatever it is asked; `then` it runs this Python."""
    says = "".join(f"say(json.loads({json.dumps(message)!r}))\n" for message in said)
    script = f"{_BEGIN}say({READY!r})\n{says}{then}\n"
    return Sandbox(DecodeConfig.model_validate(limits), start_process=partial(ChildProcess, command=script))
