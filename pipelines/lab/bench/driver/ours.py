"""One run of a job in a process of its own, with the engine that writes a fixed text.

    PYTHON ours.py '{"job": {...}, "progress": "FILE"}'

Run by path, so that the Python of another checkout can run it too: it imports what has been there for long. Leaves
lines `<monotonic seconds> <videos begun>` in FILE, and prints what came of the run as JSON.
"""

from __future__ import annotations

import json
import sys
import time

from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.job import parse_job
from framegate.schemas.run import Progress

TELL_SECONDS = 0.5


def main() -> None:
    spec = json.loads(sys.argv[1])
    told_at = 0.0
    with open(spec["progress"], "w", buffering=1) as file:

        def on_progress(progress: Progress) -> None:
            nonlocal told_at
            now = time.monotonic()
            if now - told_at >= TELL_SECONDS:
                told_at = now
                file.write(f"{now} {progress.num_videos_begun}\n")

        job = parse_job(spec["job"])
        summary = flow.run(job, engine_factory=ScriptedEngine, on_progress=on_progress)
    print(json.dumps({"num_videos": summary.num_videos_answered, "num_rows": summary.counts.num_answers}))


if __name__ == "__main__":
    main()
