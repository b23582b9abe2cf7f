"""`framegate calibrate`: which threshold may be used, by what the audit sample of an output shows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framegate.jobs.options import JobFile, JsonFile, parse_share
from framegate.jobs.printing import make_console, print_table, say, write_json
from framegate.schemas.certificate import Certificate, Claim
from framegate.schemas.errors import ConfigError

if TYPE_CHECKING:
    from framegate.pipelines.certify.calibrate import Findings

EXIT_NO_THRESHOLD = 1
_COLUMNS = ("question", "threshold", "exits", "changed", "audited", "rows", "bound", "missing")


ClaimName = Annotated[
    Claim, typer.Option("--claim", help="What is promised: see docs/certificates.md. The last two need labels.")
]


def calibrate_command(
    job: JobFile,
    claim: ClaimName = "agreement",
    epsilon: Annotated[
        str, typer.Option(metavar="SHARE", help="How much is lost at most, as a share of all rows.")
    ] = "1%",
    delta: Annotated[str, typer.Option(metavar="SHARE", help="The chance that this is wrong.")] = "5%",
    by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Also by the values of this column of the manifest.", show_default=False),
    ] = None,
    config_id: Annotated[
        str | None,
        typer.Option("--config-id", metavar="ID", help="Of this one.", show_default="the job's last run's"),
    ] = None,
    min_rate: Annotated[
        str, typer.Option("--min-rate", metavar="SHARE", help="Leave out rows that were audited at a lower rate.")
    ] = "0%",
    number_tolerance: Annotated[
        str, typer.Option("--number-tolerance", metavar="SHARE", help="Two numbers this near are one answer.")
    ] = "0%",
    span_overlap: Annotated[
        str, typer.Option("--span-overlap", metavar="SHARE", help="Two spans that overlap so much are one answer.")
    ] = "50%",
    every_night: Annotated[
        bool, typer.Option("--every-night", help="One of many looks, all of which shall hold together.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say it, and store nothing.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Say which threshold the gate may have, by what thinking changed in the audit sample.

    The claim agreement: of all rows of this archive at most --epsilon would have another answer had they thought; it
    is wrong with a chance of at most --delta. It is exact, needs no labels, and holds for any model and any video.
    accuracy: at most --epsilon fewer rows are right than if all had thought. error: at most --epsilon of all answers
    are wrong. These two need labels (framegate label). Each question has a threshold of its own beside the common
    one. What is found is kept in calibrations/ of the output, where
    gate.threshold: {certificate: latest} finds it. No model is loaded and nothing is asked.

    [bold]Exit codes[/bold]

      0  a threshold is certified

      1  none is: too few rows were audited, or too many of them changed

      2  could not start: the output has no audited row, an option is wrong

    [bold]Examples[/bold]

      framegate calibrate job.yaml

      framegate calibrate job.yaml --epsilon 0.5% --by camera

      framegate calibrate job.yaml --every-night --json calibration.json
    """
    from framegate.pipelines.certify.of_output import Request, calibrate_output, store
    from framegate.pipelines.results.agreement import STRICT, Tolerance
    from framegate.schemas.job import load_job

    if every_night and dry_run:
        raise ConfigError("--every-night counts its looks by what is stored: leave --dry-run out")
    loaded = load_job(job)
    request = Request(
        job=Path(job).name,
        audit=loaded.config.gate.audit,
        config_id=config_id,
        claim=claim,
        epsilon=parse_level("--epsilon", epsilon),
        delta=parse_level("--delta", delta),
        by=by,
        min_rate=parse_share("--min-rate", min_rate) or 0.0,
        tolerance=Tolerance(
            number_tolerance=max(STRICT.number_tolerance, parse_share("--number-tolerance", number_tolerance) or 0.0),
            span_overlap=parse_share("--span-overlap", span_overlap) or 0.0,
        ),
        every_night=every_night,
    )
    findings = calibrate_output(loaded.config.output, request)
    print_findings(findings)
    write_json(json_file, "calibrate", [asdict(findings)])
    if not dry_run:
        say(f"kept as {store(loaded.config.output, findings)}")
    if findings.calibration.whole.threshold is None:
        raise typer.Exit(EXIT_NO_THRESHOLD)


def print_findings(findings: Findings) -> None:
    """The certificate in a sentence, the tables of questions and groups, and what confidence is worth."""
    made, console = findings.calibration, make_console()
    say(_describe(made.whole))
    if made.num_uncovered:
        say(f"not covered: {made.num_uncovered:,} rows that were answered before rows were audited")
    rows = [_row(each.question_id, each) for each in made.questions]
    print_table(console, _COLUMNS, rows, title=f"By question; {_together(made.questions)}")
    if findings.groups:
        certificates = [group.certificate for group in findings.groups]
        print_table(
            console,
            ("group", *_COLUMNS[1:]),
            [_row(group.value, group.certificate, "group") for group in findings.groups],
            title=f"By group; {_together(certificates)}",
        )
    say(
        f"confidence: expected calibration error {findings.calibration_error:.3f}; it tells a row that thinking changes"
        f" from one that it does not in {findings.auroc:.1%} of pairs"
    )


_PROMISES = {
    "agreement": "of the archive's rows exit with another answer than thinking gives",
    "accuracy": "fewer of the archive's rows are right than if all had thought",
    "error": "of the archive's answers are wrong",
}


def _describe(whole: Certificate) -> str:
    audited = f"{whole.num_rows:,} of {whole.population:,} rows were audited"
    if whole.claim != "agreement":
        audited += f", {whole.num_labels:,} of them have a label"
    if whole.threshold is None and whole.num_missing:
        return (
            f"no threshold can be certified: {audited}, which is {whole.num_missing:,} too few for epsilon"
            f" {whole.epsilon:.3g} and delta {whole.delta:.3g}"
        )
    if whole.threshold is None:
        why = (
            "too many of the surest ones change when they think"
            if whole.claim == "agreement"
            else "they do not show it"
        )
        return f"no threshold can be certified: {audited}, and {why} to promise epsilon {whole.epsilon:.3g}"
    share = whole.num_exits / whole.num_rows
    return (
        f"threshold {whole.threshold:.6g}: with probability {1 - whole.delta:.2%} at most {whole.bound:.2%}"
        f" {_PROMISES[whole.claim]} (asked for: {whole.epsilon:.2%}). {audited};"
        f" {share:.1%} of them exit at it, of which {whole.num_different:,} change"
    )


def _row(name: str | None, made: Certificate, head: str = "question") -> dict[str, object]:
    return {
        head: name,
        "threshold": made.threshold,
        "exits": made.num_exits,
        "changed": made.num_different,
        "audited": made.num_rows,
        "rows": made.population,
        "bound": None if made.threshold is None else made.bound,
        "missing": made.num_missing or None,
    }


def _together(made: tuple[Certificate, ...] | list[Certificate]) -> str:
    if not made:
        return "none"
    first = made[0]
    return f"all {len(made)} hold together with probability {1 - first.delta * first.num_together:.2%}"


def parse_level(option: str, text: str) -> float:
    """A share above 0 and below 1. Raises ConfigError."""
    share = parse_share(option, text)
    if share is None or not 0 < share < 1:
        raise ConfigError(f"{option} {text}: give a share above 0% and below 100%, such as 1% or 0.01")
    return share
