"""What a job may say in `frames.prune`: which video tokens the language model is not given.

    change   a token stays where it differs by `threshold` or more from the last one of its place that stayed
    evs      of each clip, the share `rate` that differs least from the step before is left out

How tokens are compared is said in `pipelines.reason.models.pruning`. How much is left out, by a threshold or a rate, is
the part's `level`: at 0 nothing is. At `audit_levels` the rows of the audit sample are answered as well, and without
pruning, so that `framegate calibrate` can say what pruning changes. These change no answer.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from framegate.schemas.config.calibration_name import check_names_one
from framegate.schemas.config.part import Part

MAX_AUDIT_LEVELS: Final = 16


def _each_once(levels: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(levels)) < len(levels):
        raise ValueError(f"each one is named once, got {', '.join(f'{level:g}' for level in levels)}")
    return levels


class PrunePromise(Part):
    """What is to be certified of a job's pruning before it runs. Changes no answer."""

    certificate: Annotated[str, AfterValidator(check_names_one)] = Field(
        description="`latest`, or the id of a calibration"
    )
    epsilon: float = Field(default=0.01, gt=0, lt=1, description="at most so many answers are others than without it")
    delta: float = Field(default=0.05, gt=0, lt=1, description="the chance that this is wrong is at most so high")


class PruneByChange(Part):
    """The share that is left out follows the clip: a still one keeps little more than its first temporal step."""

    method: Literal["change"] = Field(description="what differs from the last kept token of its place stays")
    threshold: float = Field(ge=0, le=2, description="change: a distance, 1 - cosine, from which on a token stays")
    audit_thresholds: Annotated[
        tuple[Annotated[float, Field(gt=0, le=2)], ...],
        AfterValidator(_each_once),
        Field(max_length=MAX_AUDIT_LEVELS, description="audited rows are answered at these, too; changes no answer"),
    ] = ()
    promise: PrunePromise | None = Field(default=None, description="refuse to run unless this is certified; none: run")

    @property
    def level(self) -> float:
        return self.threshold

    @property
    def audit_levels(self) -> tuple[float, ...]:
        return self.audit_thresholds

    def at(self, level: float) -> PruneByChange:
        """The same with another threshold."""
        return PruneByChange(method="change", threshold=level)

    def document(self) -> dict[str, Any]:
        """The keys that can change an answer."""
        return self.model_dump(exclude={"audit_thresholds", "promise"})


class PruneByRate(Part):
    """The same share of each clip is left out: efficient video sampling, as vLLM's `video_pruning_rate`."""

    method: Literal["evs"] = Field(description="what differs most from the step before stays")
    rate: float = Field(ge=0, lt=1, description="evs: the share of a clip's video tokens that is left out")
    audit_rates: Annotated[
        tuple[Annotated[float, Field(gt=0, lt=1)], ...],
        AfterValidator(_each_once),
        Field(max_length=MAX_AUDIT_LEVELS, description="audited rows are answered at these, too; changes no answer"),
    ] = ()
    promise: PrunePromise | None = Field(default=None, description="refuse to run unless this is certified; none: run")

    @property
    def level(self) -> float:
        return self.rate

    @property
    def audit_levels(self) -> tuple[float, ...]:
        return self.audit_rates

    def at(self, level: float) -> PruneByRate:
        """The same with another rate."""
        return PruneByRate(method="evs", rate=level)

    def document(self) -> dict[str, Any]:
        """The keys that can change an answer."""
        return self.model_dump(exclude={"audit_rates", "promise"})


PRUNE_METHODS: Final = ("change", "evs")
PruneConfig = Annotated[PruneByChange | PruneByRate, Field(discriminator="method")]
