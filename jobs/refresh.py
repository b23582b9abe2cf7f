"""`framegate refresh`: brings what an output knows of its videos up to date, without asking anything."""

from __future__ import annotations

from dataclasses import asdict

import typer

from framegate.jobs.log import logged_each_minute
from framegate.jobs.options import JobFile, JsonFile
from framegate.jobs.printing import make_console, print_line, say, write_json
from framegate.schemas.errors import ConfigError, FramegateError, InputError

EXIT_BROKE_OFF = 1
_MEANINGS = {
    "num_videos": "videos that the input names",
    "num_new": "of them that the output had not seen: the next run asks about them",
    "num_corrected": "of which the manifest says something else now, or that are back",
    "num_superseded": "were overwritten since the output last looked",
    "num_gone": "are gone from storage since then; their answers stay",
    "num_not_listed": "the manifest names no more; their answers stay",
}


def refresh_command(job: JobFile, json_file: JsonFile = None) -> None:
    """Bring corrections of the manifest into an output: the columns of its table of videos are as of now.

    No video is opened and nothing is asked, so that neither the model nor Ray is needed. Rows of results keep the
    columns of the night that wrote them; the view `videos`, and what joins it, shows those of today. A run does
    the same for columns of the manifest; side files of tar shards are looked at by this command alone.

    [bold]Exit codes[/bold]

      0  done, also where nothing has changed

      1  broke off: the same command does it again

      2  could not start: nothing was changed

    [bold]Examples[/bold]

      framegate refresh job.yaml

      framegate refresh job.yaml --json refresh.json
    """
    from framegate.pipelines.plan.refresh import refresh
    from framegate.schemas.job import load_job

    loaded = load_job(job)
    try:
        with logged_each_minute("refreshing"):
            refreshed = asdict(refresh(loaded))
    except (ConfigError, InputError):
        raise
    except FramegateError as error:
        say(f"error: {error}; give the same command again", err=True)
        raise typer.Exit(EXIT_BROKE_OFF) from error
    write_json(json_file, "refresh", [refreshed])
    console = make_console()
    for name, meaning in _MEANINGS.items():
        print_line(console, f"{name:<16}{refreshed[name]:>14,}  {meaning}")
