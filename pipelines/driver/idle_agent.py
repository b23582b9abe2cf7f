"""Stands in for an agent of Ray's raylet that nobody asks anything: a process that names its ports and waits.

    PYTHON -I -S idle_agent.py FOLDER NAME=PORT ...

The raylet does not start without its agents, waits until each has written its ports into files of the session folder,
and ends when one of them ends. Run by path, without `site`: it takes 0.02 s of processor time, where Ray's own take
0.9 s each. Ends with the raylet.
"""

from __future__ import annotations

import os
import sys
import time

LOOK_SECONDS = 0.1


def main(folder: str, *ports: str) -> None:
    raylet = os.getppid()
    for name, port in (part.split("=") for part in ports):
        path = os.path.join(folder, name)
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.write(port)
        os.replace(f"{path}.new", path)
    while os.getppid() == raylet:
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
