"""A job's checkpoint, looked over on all that the job will have its tokenizer encode."""

from __future__ import annotations

from collections.abc import Iterable

from framegate.pipelines.reason.asking.prompt import TYPE_HINTS, suffix_after_video
from framegate.pipelines.reason.asking.wording import read_wording, wording_of
from framegate.pipelines.reason.models.check import check_model
from framegate.schemas.config import RunConfig
from framegate.schemas.qa import Question

# Time stamps differ in their digits alone.
_STAMPS = ("<0.0 seconds>", "<1234.5 seconds><|vision_start|><|video_pad|><|vision_end|>")


def check_job_model(config: RunConfig, questions: Iterable[Question]) -> None:
    """Raises EngineError, one sentence, for a checkpoint that is not sound."""
    wording = wording_of(config.gate)
    suffixes = [suffix_after_video(question, text) for question in questions for text in wording.instructions]
    asked = [text for suffix in suffixes for text in (suffix.plain, suffix.markup, str(suffix))]
    texts = [read_wording(config), wording.closing, *TYPE_HINTS.values(), *_STAMPS, *asked]
    check_model(config.model.name, config.model.revision, texts)
