"""What a job may say in `frames.prune`: which video tokens the language model is not given.

    change   a token stays where it differs by `threshold` or more from the last one of its place that stayed
    evs      of each clip, the share `rate` that differs least from the step before is left out

How tokens are compared is said in `pipelines.reason.models.pruning`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from framegate.schemas.config.part import Part


class PruneByChange(Part):
    """The share that is left out follows the clip: a still one keeps little more than its first temporal step."""

    method: Literal["change"] = Field(description="what differs from the last kept token of its place stays")
    threshold: float = Field(ge=0, le=2, description="change: a distance, 1 - cosine, from which on a token stays")


class PruneByRate(Part):
    """The same share of each clip is left out: efficient video sampling, as vLLM's `video_pruning_rate`."""

    method: Literal["evs"] = Field(description="what differs most from the step before stays")
    rate: float = Field(ge=0, lt=1, description="evs: the share of a clip's video tokens that is left out")


PRUNE_METHODS: Final = ("change", "evs")
PruneConfig = Annotated[PruneByChange | PruneByRate, Field(discriminator="method")]
