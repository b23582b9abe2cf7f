"""`framegate demo`: makes clips, runs jobs over them and queries the output, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from framegate.jobs.lab.evaluate import print_scores
from framegate.jobs.log import Log, ray_ended
from framegate.jobs.printing import make_console, print_line, print_table, say
from framegate.jobs.report import request_for, write_page
from framegate.jobs.run import run_job

QUERIES = (
    (
        "Which questions make the model think?",
        "SELECT question_id, avg(thinking::int) AS think_rate, avg(num_thinking_tokens) AS thinking_tokens "
        "FROM answers WHERE strategy = 'gated' GROUP BY 1 ORDER BY think_rate, 1",
    ),
    (
        "What did the gate save?",
        "SELECT strategy, count(*) AS answers, sum(num_answer_tokens + num_thinking_tokens)::BIGINT AS tokens, "
        "round(sum(engine_seconds), 1) AS engine_seconds FROM answers GROUP BY 1 ORDER BY tokens",
    ),
    (
        "When did a black crate pass, where one was seen, dock by dock?",
        "SELECT input_dock AS dock, count(*) AS clips, min(span_start_seconds) AS earliest_second, "
        "max(span_start_seconds) AS latest_second, round(avg(confidence_first), 3) AS mean_confidence FROM answers "
        "WHERE question_id = 'black_when' AND strategy = 'gated' AND video_id IN "
        "(SELECT video_id FROM answers WHERE question_id = 'black_seen' AND answer = 'yes') GROUP BY 1 ORDER BY 1",
    ),
)


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Everything the demo makes goes here.")] = Path(
        "demo"
    ),
    clips: Annotated[int, typer.Option(min=1, max=10_000, help="How many clips to make.")] = 48,
) -> None:
    """Make clips of a loading dock, run a job over them with each strategy, and ask SQL of the result.

    Shows the whole way: mp4 files, a manifest and a question bank, Ray, Parquet, the table of what the gate saves,
    three queries, and the report of the gated run. Run it again and it finds its work done.

    [bold]Examples[/bold]

      framegate demo

      framegate demo --out dock-demo --clips 200
    """
    from framegate.pipelines.lab.dock.demo import BANK, make_demo, score_rows
    from framegate.pipelines.results.views import open_views, select
    from framegate.schemas.job import load_job

    console = make_console()
    _say(console, f"{clips} clips of a loading dock as H.264 mp4, a manifest, {len(BANK)} questions, 3 jobs, in {out}/")
    files = make_demo(out, num_clips=clips)
    with ray_ended(Log()) as ending:
        for strategy, path in files.jobs.items():
            _say(console, f"framegate run {path}   (strategy {strategy})")
            code = run_job(load_job(path), name=str(path), accept_new_config=True)  # one for each strategy
            if code != 0:
                raise typer.Exit(code)
        ending.keep = False
    with open_views(str(files.output), {}) as connection:
        _say(console, "what the answers are worth: held against what the clips were drawn from")
        rows = select(connection, "SELECT * FROM answers ORDER BY strategy DESC, video_uri, question_id").to_pylist()
        print_scores(console, score_rows(rows, files.scenes))
        for title, sql in QUERIES:
            _say(console, f'{title}\nframegate query --output {files.output} "{sql}"')
            table = select(connection, sql)
            print_table(console, table.column_names, table.to_pylist())
    _say(console, f"framegate report {files.jobs['gated']} --out {out / 'report.html'}")
    print_line(console, f"The report is {_write_report(files.jobs['gated'], out)}: open it in a browser.")
    say("")
    print_line(console, f"The Parquet files are in {files.output}/results; ask them whatever you like.")


def _write_report(path: Path, folder: Path) -> Path:
    """The report of the last run of a job, in the demo's folder."""
    from framegate.pipelines.report.build import build_report
    from framegate.pipelines.report.page import render_page
    from framegate.schemas.job import load_job

    job = load_job(path)
    page = folder / "report.html"
    write_page(page, render_page(build_report(job.config.output, request_for(job, str(path)))))
    return page.resolve()


def _say(console: Console, text: str) -> None:
    say("")
    for line in text.split("\n"):
        print_line(console, line, style="bold")
