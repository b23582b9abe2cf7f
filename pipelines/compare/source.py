"""The answers of one job to the labelled questions, read from its output.

A row is answered, or it failed: a failure stands of the row itself, of its video, or of the video from an earlier clip
on. A row of which there is neither was not asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.pipelines.commit.labels import read_labels
from framegate.pipelines.commit.output import Output
from framegate.pipelines.compare.told import Key, Labels
from framegate.pipelines.results.view_sql import text_literal
from framegate.pipelines.results.views import open_views, select
from framegate.schemas.config import CostConfig, OutputConfig, RayConfig
from framegate.schemas.config.cost import SECONDS_PER_HOUR
from framegate.schemas.errors import ConfigError
from framegate.schemas.label import Label

_ANSWERS: Final = """
    SELECT video_id, video_uri, clip_index, start_seconds, end_seconds, question_hash, question_id, question,
        question_options, answer_type, answer, gate_reason, thinking, strategy, num_prompt_tokens, num_video_tokens,
        num_answer_tokens, num_thinking_tokens, engine_seconds
    FROM current WHERE video_id IN ({ids}) OR video_uri IN ({uris})"""
_FAILURES: Final = """
    SELECT video_id, clip_index, question_hash FROM failures WHERE video_id IN ({ids})"""
_ANY: Final = "SELECT strategy FROM current LIMIT 1"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Whose answers. `name`: as tables call it. `job`: the job file's name, whose last run is meant where there is no
    `config_id`. `cost` and `ray` are the job's; None where no job file was given."""

    name: str
    output: OutputConfig
    config_id: str | None = None
    job: str | None = None
    cost: CostConfig | None = None
    ray: RayConfig | None = None

    @property
    def currency(self) -> str | None:
        """None where the job has no price of engines."""
        return None if self.cost is None or self.cost.gpu_hour is None else self.cost.currency

    @property
    def cost_per_second(self) -> float | None:
        """Of an engine's second; None where there is no price."""
        if self.cost is None or self.cost.gpu_hour is None:
            return None
        gpus = (self.ray or RayConfig()).gpus_per_actor or 1.0
        return self.cost.gpu_hour * gpus / SECONDS_PER_HOUR


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a source has: `rows` by their keys, those of labelled videos alone; `asked`: question ids by hash."""

    source: Source
    config_id: str
    strategy: str
    rows: Mapping[Key, Mapping[str, Any]]
    failed: Collection[tuple[str, int | None, str | None]]
    asked: Mapping[str, str]

    def has_failed(self, key: Key) -> bool:
        """Whether a failure stands where there is no answer."""
        video_id, clip_index, question_hash = key
        if question_hash not in self.asked:
            return False
        places = {key, (video_id, None, None)} | {(video_id, earlier, None) for earlier in range(clip_index + 1)}
        return not places.isdisjoint(self.failed)


def find_config_id(source: Source) -> str:
    """The config_id of its answers. Raises ConfigError where the job has not run, ObjectNotFound where there is no
    output, StorageError."""
    with open_views(
        source.output.uri, source.output.storage_options, with_inputs=False, with_clips=False,
        config_id=source.config_id, job=source.job,
    ) as views:  # fmt: skip
        if views.config_id is None:
            raise ConfigError(f"{source.name} has not run yet, so that it has no answer to compare; run it")
        return views.config_id


def read_told(found: Iterable[tuple[Source, str]]) -> list[Label]:
    """The labels of these sources' outputs, of the config_ids that are compared. Raises StorageError."""
    places = {(source.output.uri, config_id): source.output for source, config_id in found}
    return [
        label
        for (_, config_id), config in places.items()
        for label in read_labels(Output.open(config), config_id).values()
    ]


def read_answers(source: Source, config_id: str, labels: Labels) -> Answers:
    """Raises StorageError; VersionChanged or ObjectNotFound where a file changed meanwhile."""
    ids = {video_id for video_id, _, _ in labels.by_key}
    uris = {uri for uri, _, _ in labels.by_name}
    with open_views(
        source.output.uri, source.output.storage_options, with_inputs=False, with_clips=False, config_id=config_id
    ) as views:
        rows = select(views, _ANSWERS.format(ids=_listed(ids), uris=_listed(uris))).to_pylist()
        ids |= {row["video_id"] for row in rows}
        failed = select(views, _FAILURES.format(ids=_listed(ids))).to_pylist()
        strategies = select(views, _ANY).column("strategy").to_pylist()
        asked = dict(views.making.current.asked.names)
    return Answers(
        source=source,
        config_id=config_id,
        strategy=strategies[0] if strategies else "",
        rows={(row["video_id"], row["clip_index"], row["question_hash"]): row for row in rows},
        failed=frozenset((row["video_id"], row["clip_index"], row["question_hash"]) for row in failed),
        asked=asked,
    )


def check_sources(sources: Sequence[Source], config_ids: Sequence[str]) -> None:
    """Raises ConfigError where there are fewer than two, two have the same answers, or prices are in two currencies."""
    if len(sources) < 2:
        raise ConfigError(
            f"there is {len(sources)} set of answers to compare, and two are needed: give a second job, or an output"
            " with two config_ids"
        )
    seen: dict[tuple[str, str], Source] = {}
    for source, config_id in zip(sources, config_ids, strict=True):
        twin = seen.setdefault((source.output.uri.rstrip("/"), config_id), source)
        if twin is not source:
            raise ConfigError(
                f"{twin.name} and {source.name} have the same answers: both are config_id {config_id} of"
                f" {source.output.uri}; what decides who thinks, such as a threshold, makes no config_id of its own, so"
                " that such jobs need an output each"
            )
    currencies = {source.currency: source.name for source in sources if source.currency is not None}
    if len(currencies) > 1:
        told = " and ".join(f"{name} in {currency}" for currency, name in sorted(currencies.items()))
        raise ConfigError(f"costs are compared in one currency, and cost.currency differs: {told}")


def _listed(texts: Collection[str]) -> str:
    return ", ".join(map(text_literal, sorted(texts))) or "NULL"
