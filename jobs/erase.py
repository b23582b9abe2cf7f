"""`framegate erase`: forgets videos, or shows what forgetting them would change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from framegate.jobs.log import logged_each_minute
from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, say, write_json
from framegate.jobs.target import Target, TargetName, find_target
from framegate.schemas.errors import ConfigError, FramegateError

if TYPE_CHECKING:
    from framegate.pipelines.erase.records import ErasureReceipt

EXIT_BROKE_OFF = 1
MAX_SHOWN = 20  # rows of each table on a terminal; --json has all of them

_OBJECT = ("action", "object", "config_id", "table", "rows")


def erase_command(
    target: TargetName,
    video: Annotated[
        list[str] | None,
        typer.Option(
            "--video",
            metavar="URI",
            help="This video; may be given again. It need not be indexed yet.",
            show_default=False,
        ),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            "--prefix", metavar="P", help="Every video of the output whose URI begins with P.", show_default=False
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="SQL",
            help="Every video with a row for which this condition is true.",
            show_default=False,
        ),
    ] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Do it. Without this nothing is changed.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Forget videos: rows, journal, attempts and plans of every config_id go, and no run takes them up again.

    Says what would go and changes nothing, unless --execute is given. Files that hold such rows are replaced whole, by
    files without them; readers meet the one or the other. A tombstone, named by a digest of the URI, keeps the video
    out in every version. A receipt without names is kept below erasures/. Jobs may run beside it.

    A member of a tar shard is named shard.tar#member. --prefix and --where look at what the output holds now: videos
    that arrive later are new ones. --where is one condition over the columns of the views answers and failures (see
    framegate query), and sees what is sealed (framegate seal).

    [bold]Exit codes[/bold]

      0  done; or said what would be done

      1  broke off: the same command again completes it

      2  wrong usage: nothing was changed

    [bold]Examples[/bold]

      framegate erase job.yaml --video s3://cameras/north/0001.mp4

      framegate erase s3://index/cameras --prefix s3://cameras/north/ --json erased.json --execute

      framegate erase job.yaml --where "input_customer = 'C-1180'" --execute
    """
    from framegate.pipelines.erase.erase import complete_and_erase
    from framegate.pipelines.erase.records import unfinished_erasures

    found = find_target(target)
    uris = _choose(found, video or [], prefix, where)
    broken = unfinished_erasures(found.output)
    if not execute:
        _print_dry_run(found, uris, broken, json_file)
        return
    if not uris and not broken:
        say("no video of the output is meant: nothing to erase")
        write_json(json_file, "erase", [])
        return
    try:
        with logged_each_minute("erasing"):
            receipts = complete_and_erase(found.output, uris)
    except FramegateError as error:
        say(f"error: {error}; the erasure broke off: give the same command again to complete it", err=True)
        raise typer.Exit(EXIT_BROKE_OFF) from error
    _print_receipts(found, receipts, json_file)


def _choose(target: Target, videos: list[str], prefix: str | None, where: str | None) -> list[str]:
    """The URIs of the videos that the options name, in order. Raises ConfigError, QueryError, StorageError."""
    from framegate.pipelines.erase.preview import as_stored, find_videos_below
    from framegate.pipelines.results.choose import choose_videos
    from framegate.pipelines.results.views import open_views

    if sum((bool(videos), prefix is not None, where is not None)) != 1:
        raise ConfigError("which videos? give --video URI (as often as needed), --prefix P or --where SQL, one of them")
    target.check()
    if videos:
        if "" in videos:
            raise ConfigError("--video is empty; give the URI of a video, as the column video_uri has it")
        return sorted({as_stored(video) for video in videos})
    if where is not None:
        with open_views(target.config.uri, target.config.storage_options) as connection:
            return choose_videos(connection, where)
    if not prefix:
        raise ConfigError("--prefix is empty, which would be every video; give what their URIs begin with")
    return find_videos_below(target.output, prefix)


def _print_dry_run(target: Target, uris: list[str], unfinished_ids: list[str], json_file: Path | None) -> None:
    from framegate.pipelines.erase.preview import VIDEO_COLUMNS, count_by_video, list_objects, sum_by_table
    from framegate.pipelines.erase.search import find_matches
    from framegate.pipelines.erase.targets import Targets

    console = make_console()
    rows: list[dict[str, Any]] = []
    if uris:
        matches = find_matches(target.output, Targets.of(uris))
        videos, objects = count_by_video(uris, matches), list_objects(matches)
        rows = [*({"action": "keep out", **video} for video in videos), *objects]
        _print_some(console, VIDEO_COLUMNS, videos, "videos")
        _print_some(console, ("config_id", "table", "objects", "rows"), sum_by_table(objects), "rows that go")
        _print_some(console, _OBJECT, objects, "objects that change")
    write_json(json_file, "erase", rows)
    for erasure_id in unfinished_ids:
        say(f"erasure {erasure_id} broke off; --execute completes it first")
    if not uris:
        say("no video of the output is meant: nothing to erase")
    else:
        say(f"dry run: nothing was changed; with --execute, {_count(len(uris), 'video')} would be forgotten")


def _print_receipts(target: Target, receipts: list[ErasureReceipt], json_file: Path | None) -> None:
    write_json(json_file, "erase", [asdict(receipt) for receipt in receipts])
    console = make_console()
    for receipt in receipts:
        rows = [
            {"config_id": config_id or None, "table": table, "rows": num_rows}
            for config_id, tables in sorted(receipt.rows.items())
            for table, num_rows in sorted(tables.items())
        ]
        videos = _count(len(receipt.videos), "video")
        say(f"erasure {receipt.erasure_id}: {videos} forgotten")
        if rows:
            print_table(console, ("config_id", "table", "rows"), rows)
        say(f"receipt: {target.output.layout.erasure(receipt.erasure_id)}")
    say("not reached:")
    for sentence in dict.fromkeys(sentence for receipt in receipts for sentence in receipt.not_reached):
        say(f"  - {sentence}")


def _print_some(console: Console, columns: Sequence[str], rows: list[dict[str, Any]], title: str) -> None:
    print_table(console, columns, rows[:MAX_SHOWN], title=title)
    if len(rows) > MAX_SHOWN:
        say(f"{len(rows) - MAX_SHOWN:,} more of {len(rows):,} rows; --json FILE has all of them")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
