"""What is to be promised of the gate: the options that say it, and the request that they come to.

`calibrate` makes the promise, and `label` lists the rows that it needs labels of, so that both are asked alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from framegate.jobs.options import parse_share
from framegate.schemas.certificate import Claim
from framegate.schemas.errors import ConfigError

if TYPE_CHECKING:
    from framegate.pipelines.certify.request import Request
    from framegate.schemas.job import Job

ClaimName = Annotated[
    Claim,
    typer.Option("--claim", help="What is promised: see docs/certificates.md. All but agreement need labels."),
]
QuestionIds = Annotated[
    list[str] | None,
    typer.Option("--question", metavar="ID", help="Of this question alone; may be repeated.", show_default="all"),
]
ConfigId = Annotated[
    str | None,
    typer.Option("--config-id", metavar="ID", help="Of this one.", show_default="the job's last run's"),
]
Epsilon = Annotated[
    str,
    typer.Option(
        "--epsilon", metavar="SHARE", help="How much is lost at most, by the claim. Precision and recall: 1 less this."
    ),
]
Delta = Annotated[str, typer.Option("--delta", metavar="SHARE", help="The chance that this is wrong.")]


def request_of(
    job: Job,
    path: Path,
    *,
    claim: Claim,
    questions: Sequence[str] | None,
    config_id: str | None,
    epsilon: str,
    delta: str,
    **more: Any,
) -> Request:
    """`path` is the job file's, `more` the other fields of a request. Raises ConfigError."""
    from framegate.pipelines.certify.request import Request

    request = Request(
        job=path.name,
        audit=job.config.gate.audit,
        config_id=config_id,
        claim=claim,
        questions=tuple(dict.fromkeys(questions or ())),
        epsilon=parse_level("--epsilon", epsilon),
        delta=parse_level("--delta", delta),
        **more,
    )
    request.check()
    return request


def parse_level(option: str, text: str) -> float:
    """A share above 0 and below 1. Raises ConfigError."""
    share = parse_share(option, text)
    if share is None or not 0 < share < 1:
        raise ConfigError(f"{option} {text}: give a share above 0% and below 100%, such as 1% or 0.01")
    return share
