"""`framegate init`: writes a first job and its questions for the videos of a folder or a bucket."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from framegate.jobs.printing import say
from framegate.schemas.errors import ConfigError, StorageError
from framegate.schemas.uris import public, split_access


def init(
    place: Annotated[
        str, typer.Argument(metavar="DIR|URI", help="Where the videos are: a folder, or s3://...", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", metavar="JOB.yaml", help="The job file to write.")] = Path("job.yaml"),
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            metavar="URI",
            help="Where its rows will go.",
            show_default="index beside the job file; framegate/index in the videos' bucket",
        ),
    ] = None,
) -> None:
    """Write a first job file, and a question bank beside it, for the videos of a folder or a bucket.

    Looks at names and sizes, takes a manifest for one where exactly one table has a column uri, and opens the first few
    videos. Each key of the job has a comment. No file is overwritten. Then framegate plan says what the job would do.

    [bold]Examples[/bold]

      framegate init videos/

      framegate init s3://archive/2026/ --out cameras.yaml --output s3://index/cameras
    """
    from framegate.jobs.job_template import QUESTIONS, render_job
    from framegate.pipelines.plan.survey import survey

    questions = out.with_name("questions.yaml" if out.name == "job.yaml" else f"{out.stem}-questions.yaml")
    for path in (out, questions):
        if path.exists():
            raise ConfigError(f"{path} is there already, and is not overwritten; name another file with --out")
    if split_access(place)[1]:
        raise ConfigError(
            f"{public(place)} was given with a query, which may be a signature and would stand in the job file; "
            "name a folder or a prefix, or put signed URLs into the column `uri` of a manifest"
        )
    if "://" not in place and any(char in place for char in "*?[{"):
        raise ConfigError(f"{place} has a character that a job takes for a glob, one of *?[{{; name a folder above it")
    place = place if "://" in place else str(Path(place).expanduser().absolute())
    found = survey(place)
    text = render_job(
        found,
        name=str(out),
        place=place,
        videos=tuple(_beside(uri, out) for uri in found.videos),
        output=output or _default_output(place),
        questions=questions.name,
    )
    for path, content in ((questions, QUESTIONS), (out, text)):
        _write(path, content)
    say(f"wrote {out} and {questions}: look at both, then framegate plan {out}")


def _beside(uri: str, job: Path) -> str:
    """A local path below the job's folder as a relative one, so that both can be moved together."""
    folder = str(job.absolute().parent)
    return uri if "://" in uri or not uri.startswith(f"{folder}{os.sep}") else uri[len(folder) + 1 :]


def _default_output(place: str) -> str:
    """Beside the job file; of videos in a bucket, in that bucket."""
    scheme, _, rest = place.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/framegate/index" if rest else "index"


def _write(path: Path, content: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already, and is not overwritten; name another file with --out") from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
