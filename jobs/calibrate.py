"""`framegate calibrate`: which threshold may be used, by what the audit sample of an output shows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framegate.jobs.options import JobFile, JsonFile, parse_share
from framegate.jobs.printing import make_console, print_table, say, write_json
from framegate.jobs.promise import ClaimName, ConfigId, Delta, Epsilon, QuestionIds, request_of
from framegate.jobs.pruned import print_prunes
from framegate.schemas.certificate import VIDEO, Certificate, Scope
from framegate.schemas.errors import ConfigError

if TYPE_CHECKING:
    from framegate.pipelines.certify.calibrate import ComparedMeasure, Findings
    from framegate.pipelines.certify.copies import CopyFindings

EXIT_NO_THRESHOLD = 1
_COLUMNS = ("question", "threshold", "exits", "changed", "audited", "rows", "bound", "missing")


def calibrate_command(
    job: JobFile,
    claim: ClaimName = "agreement",
    questions: QuestionIds = None,
    epsilon: Epsilon = "1%",
    delta: Delta = "5%",
    scope: Annotated[
        Scope,
        typer.Option(
            "--scope", help="Of the rows that are there, or of a video to come that is drawn like those of the sample."
        ),
    ] = "archive",
    unit: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="--scope future: what is to come, a video, or a value of this column of the manifest.",
        ),
    ] = VIDEO,
    draws: Annotated[
        int,
        typer.Option(
            "--draws", min=1, max=1000, metavar="N", help="--scope future: so often one row of each unit is drawn."
        ),
    ] = 1,
    by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Also by the values of this column of the manifest.", show_default=False),
    ] = None,
    config_id: ConfigId = None,
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
    are wrong. precision, of yes/no questions: at most --epsilon of the rows answered with yes are not. recall: at most
    --epsilon of the rows that are yes are not answered so. These four need labels (framegate label). Each question has
    a threshold of its own beside the common one. --scope future promises the same of videos to come, on average, if
    they are drawn like those of the sample: it needs some hundred videos; with --unit camera of cameras to come, some
    hundred cameras. Where clips.same_within let rows take over answers, how many of these differ from what asking
    gives is said, too; in a job without a gate nothing else is. What is found is kept in calibrations/ of the output,
    where gate.threshold: {certificate: latest} finds it. No model is loaded and nothing is asked.

    [bold]Exit codes[/bold]

      0  a threshold is certified; in a job without a gate: it is shown that at most --epsilon of what was taken over
      differs

      1  none is, or it is not shown: too few rows were audited, or too many of them changed

      2  could not start: the output has no audited row, an option is wrong

    [bold]Examples[/bold]

      framegate calibrate job.yaml

      framegate calibrate job.yaml --epsilon 0.5% --by camera

      framegate calibrate job.yaml --every-night --json calibration.json

      framegate calibrate job.yaml --claim precision --question person --epsilon 10%

      framegate calibrate job.yaml --scope future
    """
    from framegate.pipelines.certify.copies import CopyFindings
    from framegate.pipelines.certify.of_output import certify_output, store
    from framegate.pipelines.results.agreement import STRICT, Tolerance
    from framegate.schemas.job import load_job

    if every_night and dry_run:
        raise ConfigError("--every-night counts its looks by what is stored: leave --dry-run out")
    loaded = load_job(job)
    request = request_of(
        loaded,
        Path(job),
        claim=claim,
        questions=questions,
        config_id=config_id,
        epsilon=epsilon,
        delta=delta,
        scope=scope,
        unit=unit,
        num_draws=draws,
        by=by,
        min_rate=parse_share("--min-rate", min_rate) or 0.0,
        tolerance=Tolerance(
            number_tolerance=max(STRICT.number_tolerance, parse_share("--number-tolerance", number_tolerance) or 0.0),
            span_overlap=parse_share("--span-overlap", span_overlap) or 0.0,
        ),
        every_night=every_night,
    )
    findings = certify_output(loaded.config.output, request)
    if isinstance(findings, CopyFindings):
        say("no gate decided about an audited row of this config_id, so that there is no threshold to certify")
        print_copies(findings)
        write_json(json_file, "calibrate", [{"copies": asdict(findings)}])
        if not findings.is_within:
            raise typer.Exit(EXIT_NO_THRESHOLD)
        return
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
    if findings.copies is not None:
        print_copies(findings.copies)
    if findings.prunes is not None:
        print_prunes(console, findings.prunes)
    say(
        f"confidence: expected calibration error {findings.calibration_error:.3f}; it tells a row that thinking changes"
        f" from one that it does not in {findings.auroc:.1%} of pairs"
    )
    if findings.measures:
        say(f"by measure, where at most {made.whole.epsilon:.2%} are let go and changed; this certifies nothing:")
        print_table(
            console,
            ("measure", "rows", "let go", "changed", "auroc"),
            [_measure_row(each) for each in findings.measures],
            title="By measure",
        )


def _measure_row(each: ComparedMeasure) -> dict[str, object]:
    """Shares of all rows, in words."""
    return {
        "measure": each.name,
        "rows": each.num_rows,
        "let go": f"{each.exit_share:.1%}",
        "changed": f"{each.different_share:.2%}",
        "auroc": each.auroc,
    }


def print_copies(copies: CopyFindings) -> None:
    """What taking over answers loses, in a sentence, and by question."""
    whole, what = copies.whole, "clips" if copies.unit == "clip" else "rows"
    held = "this holds" if copies.is_within else "this is not shown"
    say(
        f"taken over: {whole.population:,} {what} have answers of a clip that showed the same; {whole.num_audited:,} of"
        f" them were asked all the same, and {whole.num_different:,} answered otherwise. With probability"
        f" {1 - copies.delta:.2%} at most {whole.bound:.2%} of what was taken over differs (asked for:"
        f" {copies.epsilon:.2%}; {held})"
    )
    if copies.num_uncovered:
        say(f"not covered: {copies.num_uncovered:,} rows that took over answers before rows were audited")
    rows = [
        {
            "question": each.question_id,
            "taken over": each.population,
            "audited": each.num_audited,
            "different": each.num_different,
            "bound": each.bound,
        }
        for each in copies.questions
    ]
    print_table(make_console(), tuple(rows[0]), rows, title="Taken over, by question") if rows else None


_PROMISES = {
    "agreement": "of the archive's rows exit with another answer than thinking gives",
    "accuracy": "fewer of the archive's rows are right than if all had thought",
    "error": "of the archive's answers are wrong",
    "precision": "of the rows answered with yes are not",
    "recall": "of the rows that are yes are not answered so",
}
_TO_COME = (
    "of the rows of a {unit} to come, on average over all like those of the sample, exit with another answer than"
    " thinking gives"
)


def _describe(whole: Certificate) -> str:
    if whole.threshold is None:
        return f"no threshold can be certified: {_seen(whole)}{_why_none(whole)}"
    share = whole.num_exits / whole.num_rows
    promise = _PROMISES[whole.claim] if whole.scope == "archive" else _TO_COME.format(unit=whole.unit)
    of = f" of '{whole.question_id}'" if whole.question_id is not None else ""
    return (
        f"threshold {whole.threshold:.6g}{of}: with probability {1 - whole.delta:.2%} at most {whole.bound:.2%}"
        f" {promise} (asked for: {whole.epsilon:.2%}). {_seen(whole)};"
        f" {share:.1%} of them exit at it, of which {whole.num_different:,} change"
    )


def _seen(whole: Certificate) -> str:
    audited = f"{whole.num_rows:,} of {whole.population:,} rows were audited"
    if whole.scope == "future":
        audited += f", of {whole.num_units:,} units ({whole.unit})"
    if whole.claim != "agreement":
        audited += f", {whole.num_labels:,} of them have a label"
    return audited


def _why_none(whole: Certificate) -> str:
    if whole.num_missing:
        unit = " units" if whole.scope == "future" else ""
        levels = f"epsilon {whole.epsilon:.3g} and delta {whole.delta:.3g}"
        return f", which is {whole.num_missing:,}{unit} too few for {levels}"
    why = "too many of the surest ones change when they think" if whole.claim == "agreement" else "they do not show it"
    return f", and {why} to promise epsilon {whole.epsilon:.3g}"


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
