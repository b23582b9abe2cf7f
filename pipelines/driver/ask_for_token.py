"""Whether a Ray cluster talks to whoever shows the token that the environment holds: a program with one line of output.

    PYTHON ask_for_token.py HOST:PORT|auto

It prints JSON: {"address": ..., "answer": "open" | "refused" | "away", "why": ...}. A process of its own, because Ray
reads how to authenticate once in each process. Run by path.
"""

from __future__ import annotations

import importlib
import json
import socket
import sys
from typing import Any

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 10


def main(address: str) -> dict[str, str]:
    from ray._private.services import canonicalize_bootstrap_address_or_die
    from ray.exceptions import AuthenticationError

    raylet: Any = importlib.import_module("ray._raylet")  # a compiled module whose stub lacks GcsClient

    try:
        found = canonicalize_bootstrap_address_or_die(address)
        host, _, port = found.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:  # Ray's own client would try for a minute
        return {"address": address, "answer": "away", "why": _first_line(error)}
    try:
        raylet.GcsClient(address=found).check_alive([], timeout=ANSWER_SECONDS)
    except AuthenticationError:
        return {"address": found, "answer": "refused", "why": ""}
    except Exception as error:  # Ray's own errors are of many kinds
        return {"address": found, "answer": "away", "why": _first_line(error)}
    return {"address": found, "answer": "open", "why": ""}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
