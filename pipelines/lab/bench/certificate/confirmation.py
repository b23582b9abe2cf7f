"""A certificate against its promise: thresholds from one archive's audit sample, and other clips that all think."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from framegate.pipelines import flow
from framegate.pipelines.certify.of_output import calibrate_output
from framegate.pipelines.certify.request import Request
from framegate.pipelines.lab.bench.certificate.dock_job import make_films, make_job
from framegate.pipelines.results.agreement import STRICT, differs_sql
from framegate.pipelines.results.views import query
from framegate.schemas.certificate import Certificate, Scope
from framegate.schemas.config.gate import GatePart
from framegate.schemas.errors import FramegateError
from framegate.schemas.job import Job
from framegate.schemas.qa import Question
from framegate.schemas.run import RunSummary

SCOPES: Final[tuple[Scope, ...]] = ("archive", "future")

_SEEN: Final = """
    SELECT count(*) AS num_rows, count(DISTINCT (video_id, clip_index)) AS num_clips,
        count(*) FILTER (confidence_first >= {threshold!r}) AS num_exits,
        count(*) FILTER (confidence_first >= {threshold!r} AND {differs}) AS num_different
    FROM answers WHERE thinking"""


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """
    scope                          what the certificate is about; `threshold`: None where none could be certified
    num_audited                    rows of the sample
    num_rows, num_clips            of the other archive, in which every row thought
    num_exits, num_different       of these: rows that would exit, and those of them that thinking gave another answer
    """

    scope: Scope
    epsilon: float
    delta: float
    threshold: float | None
    num_audited: int
    num_rows: int = 0
    num_clips: int = 0
    num_exits: int = 0
    num_different: int = 0

    @property
    def lost(self) -> float:
        """The share of the other archive's rows that would exit with another answer."""
        return self.num_different / max(self.num_rows, 1)

    @property
    def holds(self) -> bool:
        return self.threshold is not None and self.num_rows > 0 and self.lost <= self.epsilon


def confirm(
    folder: Path,
    questions: Sequence[Question],
    *,
    num_audited: int,
    num_clips: int,
    seed: int,
    epsilon: float,
    delta: float,
    in_process: bool = False,
) -> list[Confirmation]:
    """Certifies a threshold from about `num_audited` rows of an archive of `num_clips` clips, for it and for videos to
    come, and then has every row of `num_clips` other clips think. Raises FramegateError."""
    archive = make_audited(folder / "archive", questions, num_audited=num_audited, num_clips=num_clips, seed=seed)
    check_complete(flow.run(archive, in_process=in_process))
    made = [certify(archive, scope, epsilon=epsilon, delta=delta) for scope in SCOPES]
    make_films(folder / "others", num_clips=num_clips, seed=seed + 1)
    others = make_job(folder / "others", questions, {"strategy": "always_think"}, name="index")
    check_complete(flow.run(others, in_process=in_process))
    return [look(others, certificate) for certificate in made]


def make_audited(folder: Path, questions: Sequence[Question], *, num_audited: int, num_clips: int, seed: int) -> Job:
    """A job in which the gate lets every row go, so that those that think are the audit sample alone."""
    make_films(folder, num_clips=num_clips, seed=seed)
    rate = min(1.0, num_audited / (num_clips * len(questions)))
    return make_job(folder, questions, {"strategy": "gated", "threshold": 0.0, "audit": {"rate": rate}}, name="index")


def certify(job: Job, scope: Scope, *, epsilon: float, delta: float) -> Certificate:
    """The certificate of all questions together."""
    gate = job.config.gate
    assert isinstance(gate, GatePart)
    assert gate.audit is not None
    request = Request(job=job.name, audit=gate.audit, scope=scope, epsilon=epsilon, delta=delta)
    return calibrate_output(job.config.output, request).calibration.whole


def look(others: Job, certificate: Certificate) -> Confirmation:
    """What the certificate's threshold would have lost among rows that all thought."""
    made = Confirmation(
        scope=certificate.scope,
        epsilon=certificate.epsilon,
        delta=certificate.delta,
        threshold=certificate.threshold,
        num_audited=certificate.num_rows,
    )
    if certificate.threshold is None:
        return made
    sql = _SEEN.format(threshold=certificate.threshold, differs=differs_sql(STRICT))
    [seen] = query(others.config.output.uri, {}, sql).to_pylist()
    return replace(made, **seen)


def check_complete(summary: RunSummary) -> None:
    """Raises FramegateError where a run has left anything undone: what is compared would not be the same."""
    if summary.is_stopped or summary.num_videos_left or summary.num_videos_failed:
        raise FramegateError(
            f"run {summary.run_id} left {summary.num_videos_left} videos and failed at {summary.num_videos_failed}:"
            " there is nothing to compare"
        )
