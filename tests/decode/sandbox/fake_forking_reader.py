"""A decoder whose package starts a process when it is imported, before anything holds it back."""

from __future__ import annotations

import os
import time

from framegate.pipelines.decode.readers.reader import VideoHeader

GRANDCHILD = os.fork()
if GRANDCHILD == 0:
    time.sleep(3600)


class Forking:
    """Names the grandchild as its codec; then dies, and leaves it with all of its descriptors."""

    def __init__(self, file, *, container, limits):
        self.header = VideoHeader(
            container=container, codec=str(GRANDCHILD), display_height=4, display_width=6, duration_seconds=1.0
        )

    def read(self, times_seconds, *, height, width, out=None):
        os._exit(3)
