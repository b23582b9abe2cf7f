"""What is to be certified of an output, or labelled for it; and the audited rows that this is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from framegate.pipelines.certify.audit_rows import AuditRows, read_audit_rows
from framegate.pipelines.results.agreement import STRICT, Tolerance
from framegate.pipelines.results.views import Views, open_views
from framegate.schemas.certificate import VIDEO, YES_NO_CLAIMS, Claim, Scope
from framegate.schemas.config import OutputConfig
from framegate.schemas.config.gate import AuditConfig
from framegate.schemas.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be certified.

    job          the job file's name; `config_id` in its place: that one
    claim        what is promised; `epsilon`: how much is lost at most; `delta`: the chance that this is wrong
    scope        of the rows that are there, or of videos to come
    questions    ids of questions; none: all that the claim can be about
    by           a column of the manifest, whose values are certified as well
    min_rate     rows that were audited at a lower rate are left out
    every_night  one of many calibrations of this config_id that are to hold together
    unit         what is to come, where the scope is `future`: `video`, or a column of the manifest, such as `camera`
    num_draws    of one row of each unit, where the scope is `future`
    """

    job: str | None
    audit: AuditConfig
    config_id: str | None = None
    claim: Claim = "agreement"
    scope: Scope = "archive"
    questions: tuple[str, ...] = ()
    epsilon: float = 0.01
    delta: float = 0.05
    by: str | None = None
    min_rate: float = 0.0
    tolerance: Tolerance = STRICT
    every_night: bool = False
    unit: str = VIDEO
    num_draws: int = 1

    def check(self) -> None:
        """Raises ConfigError where its parts do not fit each other."""
        if self.scope == "future" and self.claim != "agreement":
            raise ConfigError(
                f"the scope future is there for the claim agreement, not for {self.claim}: labels are of rows that are"
                " there"
            )
        if self.scope == "future" and self.audit.unit != "row":
            raise ConfigError(
                f"the scope future draws one row of each {self.unit}, and gate.audit.unit is clip: rows of a clip were"
                " audited together; audit by row"
            )
        if self.scope != "future" and self.num_draws != 1:
            raise ConfigError(f"{self.num_draws} draws of a row of each video are for the scope future alone")
        if self.scope != "future" and self.unit != VIDEO:
            raise ConfigError(f"the unit {self.unit} is for the scope future alone")
        if self.by is not None and self.claim != "agreement":
            raise ConfigError(f"groups of rows are certified for the claim agreement, not for {self.claim}")


@contextmanager
def open_asked(config: OutputConfig, request: Request, *, with_clips: bool = False) -> Iterator[tuple[Views, str]]:
    """The views of the output, of the config_id that is asked about, and that id.

    Raises ConfigError where the job has not run, ObjectNotFound where there is no output, StorageError.
    """
    job = None if request.config_id else request.job
    with open_views(
        config.uri, config.storage_options, with_clips=with_clips, config_id=request.config_id, job=job
    ) as views:
        if views.config_id is None:
            raise ConfigError(
                "the job has not run yet, so that there is no audited row to calibrate with or to label; run it, or"
                " give --config-id"
            )
        yield views, views.config_id


def read_asked(views: Views, request: Request) -> AuditRows:
    """The audit sample. Raises what `read_audit_rows` does."""
    return read_audit_rows(
        views,
        unit=request.audit.unit,
        salt=request.audit.salt,
        by=request.by,
        unit_column=None if request.unit == VIDEO else request.unit,
        min_rate=request.min_rate,
        tolerance=request.tolerance,
    )


def choose_questions(found: AuditRows, request: Request) -> Mapping[str, str]:
    """Of the questions that the request is about, each one's id by its hash.

    Raises ConfigError where one that it names has no audited row or cannot have such a claim.
    """
    types = {row["question_id"]: row["answer_type"] for row in found.counts}
    if unknown := [name for name in request.questions if name not in types]:
        raise ConfigError(
            f"--question {unknown[0]}: no row of such a question was audited; there are {', '.join(sorted(types))}"
        )
    chosen = set(request.questions or types)
    if request.claim in YES_NO_CLAIMS:
        others = [name for name in request.questions if types[name] != "yes_no"]
        if others:
            raise ConfigError(
                f"--question {others[0]}: the claim {request.claim} is about yes/no questions, and it is of type"
                f" {types[others[0]]}"
            )
        chosen = {name for name in chosen if types[name] == "yes_no"}
        if not chosen:
            raise ConfigError(f"the claim {request.claim} is about yes/no questions, and none was audited")
    ids = {row["question_hash"]: row["question_id"] for row in found.counts}
    return {one: ids[one] for one in found.count_by("question_hash") if ids[one] in chosen}
