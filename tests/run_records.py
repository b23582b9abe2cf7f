"""Records of runs for tests: as a run leaves them, and as those of earlier versions did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import encode_record
from framegate.schemas.clock import now


def put_run(output: Output, run_id: str, **fields: Any) -> None:
    """The record of a run, of another machine and with a heartbeat of just now where `fields` do not say otherwise."""
    heartbeat = {"at": now().isoformat(), "number": 1, "every_seconds": 60.0}
    ended = {"is_complete": True} if fields.get("state") == "complete" else {}
    record = {"run_id": run_id, "state": "running", "phase": None, "heartbeat": heartbeat, **ended, **fields}
    uri, data = output.layout.run(run_id), encode_record(record)
    if not output.store.put_once(uri, data).created:
        output.store.replace(uri, data, if_match=output.store.stat(uri).version)


def put_old_begun(output: Output, run_id: str, facts: Mapping[str, Any]) -> None:
    """runs/<run_id>.begun.json, with which a run of an earlier version began."""
    output.store.put_once(f"{output.layout.folder('runs')}/{run_id}.begun.json", encode_record(facts))


def put_old_end(output: Output, run_id: str, record: Mapping[str, Any]) -> None:
    """runs/<run_id>.json without a state, with which one ended."""
    output.store.put_once(output.layout.run(run_id), encode_record(record))
