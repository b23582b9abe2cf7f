"""What the rows of an output tell of thinking: what it takes, and how often it changes an answer."""

from __future__ import annotations

from typing import Final

from framegate.pipelines.calibrate.change_rate import ChangeRate, fit_change_rate
from framegate.pipelines.calibrate.worth import Worth
from framegate.pipelines.certify.audit_rows import read_audit_rows
from framegate.pipelines.results.views import Views, open_views, select
from framegate.schemas.config import OutputConfig
from framegate.schemas.config.gate import AuditConfig
from framegate.schemas.errors import ConfigError

_THOUGHT: Final = """
    SELECT question_hash, avg(num_thinking_tokens)::DOUBLE AS tokens, sum(num_thinking_tokens)::DOUBLE AS num_tokens,
        sum(engine_seconds)::DOUBLE AS seconds
    FROM answers WHERE thinking AND copied_from IS NULL GROUP BY question_hash"""


def read_worth(config: OutputConfig, audit: AuditConfig, config_id: str) -> Worth:
    """By the rows of one config_id. Raises StorageError."""
    with open_views(config.uri, config.storage_options, with_clips=False, config_id=config_id) as views:
        thought = select(views, _THOUGHT).to_pylist()
        num_tokens, seconds = (sum(row[name] for row in thought) for name in ("num_tokens", "seconds"))
        return Worth(
            tokens={row["question_hash"]: row["tokens"] for row in thought},
            seconds_per_token=seconds / num_tokens if num_tokens and seconds else None,
            rate=_read_rate(views, audit),
        )


def _read_rate(views: Views, audit: AuditConfig) -> ChangeRate | None:
    try:
        found = read_audit_rows(views, unit=audit.unit, salt=audit.salt)
    except ConfigError:  # no row was audited, or by another salt: then the lowest confidence comes first
        return None
    return fit_change_rate(found.confidence, found.differs)
