"""One night's process: the real `framegate run`, with the scripted engine in the model's place.

`python -m tests.night.child '{"script": "yes", "on_ray": false}' run job.yaml --json night.json`. The first argument
says what the engine writes (`yes`, `nonsense`, or `slow`: a yes after a while) and whether Ray is started.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from functools import partial

from framegate.jobs.cli import app
from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine, Written, say_yes
from framegate.pipelines.reason.strategies.protocol import Ask

SLOW_SECONDS = 0.5


def write_nonsense(ask: Ask) -> Sequence[Written]:
    return [("It is hard to say what this shows.", -0.001)]


def say_yes_slowly(ask: Ask) -> Sequence[Written]:
    time.sleep(SLOW_SECONDS)
    return say_yes(ask)


SCRIPTS = {"yes": say_yes, "nonsense": write_nonsense, "slow": say_yes_slowly}


if __name__ == "__main__":
    spec = json.loads(sys.argv[1])
    engine = partial(ScriptedEngine, SCRIPTS[spec["script"]])
    run = flow.run
    flow.run = lambda job, **options: run(
        job, **{**options, "engine_factory": engine, "in_process": not spec["on_ray"]}
    )
    app(sys.argv[2:])
