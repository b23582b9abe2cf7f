"""Records beside the tables: each is whole, and is what its name says. A quick audit looks at their sizes alone.

A name is a digest of the content, or stands in it: so one that was changed, swapped with another or copied under a
second name is told. What only people read is not compared: `named` of a configuration, the page of a report.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from framegate.pipelines.audit.intake import Intake
from framegate.pipelines.audit.moments import find_future
from framegate.pipelines.audit.report import Check
from framegate.pipelines.audit.unknown_objects import OutputNames, is_ours
from framegate.pipelines.commit.layout import CLIP_INDEX, ID
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.run_history import MARK
from framegate.pipelines.commit.runs import STATES
from framegate.schemas.certificate import Calibration, Certificate
from framegate.schemas.config import config_id
from framegate.schemas.errors import ConfigError
from framegate.schemas.json_object import load_json
from framegate.schemas.plain_yaml import parse_yaml
from framegate.schemas.qa import Question

_BACK: Final = "bring it back from a copy, or move it away where it is none of ours"
_LABEL: Final = re.compile(
    rf"config_id=({ID})/({ID})/({CLIP_INDEX})-({ID})-(\d{{8}}T\d{{6}}Z)-([0-9a-f]{{12}})\.json",
    re.ASCII,
)
_QUESTION: Final = re.compile(r"([0-9a-f]{16})-(?:(\d{8}T\d{12}Z)|unknown)\.json", re.ASCII)
_ENDED_STATES: Final = frozenset(STATES)


class _Wrong(Exception):
    """What is wrong with a record, as the rest of a sentence that begins with its name."""


class _Unknown(Exception):
    """What cannot be told of a record, in the same way."""


def check_small_records(check: Check, output: Output, intake: Intake, *, is_quick: bool) -> None:
    """`intake` takes in the labels, so that each can be held against its row."""
    below = OutputNames.of(output)
    for folder, look in _LOOKS.items():
        infos = list(output.list(folder))
        check.num_checked += len(infos)
        for info in infos:
            if not info.size_bytes and folder != "runs" and is_ours(below.name(info.uri)):  # runs are read in any case
                check.find(f"{below.name(info.uri)} is empty: {_BACK}")
        if is_quick and folder not in _READ_BY_QUICK:
            continue
        for uri, data in output.store.read_present(info.uri for info in infos if info.size_bytes):
            name = below.name(uri)
            if data is None or name.endswith(".gz") or data == MARK or not is_ours(name):
                continue
            try:
                look(name.removeprefix(f"{folder}/"), data)
            except _Unknown as error:
                check.note(f"{name} {error}")
            except _Wrong as error:
                check.find(f"{name} {error}: {_BACK}")
            except (ValueError, RecursionError, KeyError, TypeError, AttributeError, ConfigError) as error:
                told = " ".join(str(error).split()) or type(error).__name__
                check.find(f"{name} is no record of its kind ({type(error).__name__}: {told}): {_BACK}")
    if not is_quick:
        keys = (_LABEL.fullmatch(below.name(info.uri).removeprefix("labels/")) for info in output.list("labels"))
        intake.take_labels((key[1], key[2], int(key[3]), key[4]) for key in keys if key is not None)


def _mapping(data: bytes) -> Mapping[str, Any]:
    fields = load_json(data)
    if not isinstance(fields, dict):
        raise _Wrong(f"holds a {type(fields).__name__} where a mapping should be")
    return fields


def _not_future(what: str, value: Any) -> None:
    if sentence := find_future(value):
        raise _Wrong(f"cannot be right: {what} {sentence}")


def _stamp(text: str, form: str) -> datetime:
    return datetime.strptime(text, form).replace(tzinfo=UTC)


def _look_at_config(name: str, data: bytes) -> None:
    document = parse_yaml(data.decode(), name)
    if not isinstance(document, dict):
        raise _Wrong("holds no mapping")
    if "schema_version" not in document:
        raise _Unknown("has no schema_version, so that its id cannot be told from what it says")
    if (id := config_id(document)) != name.removesuffix(".yaml"):
        raise _Wrong(f"was changed: what it says has the config_id {id}")


def _look_at_adoption(name: str, data: bytes) -> None:
    adoption = parse_yaml(data.decode(), name)
    if not isinstance(adoption, dict):
        raise _Wrong("holds no mapping")
    if (id := config_id(adoption["document"])) != name.removesuffix(".yaml"):
        raise _Wrong(f"was changed: what it says has the config_id {id}")
    if not re.fullmatch("[0-9a-f]{16}", str(adoption["config_id"])):
        raise _Wrong(f"adopts {adoption['config_id']!r}, which is no config_id")


def _look_at_question(name: str, data: bytes) -> None:
    match = _QUESTION.fullmatch(name)
    if match is None:
        return  # a stray
    fields = _mapping(data)
    asked = Question(id="", text=fields["text"], type=fields["type"], options=tuple(fields["options"]))
    if not asked.hash == fields["question_hash"] == match[1]:
        raise _Wrong(f"was changed, or lies under another name: its words have the hash {asked.hash}")
    if match[2]:
        _not_future("its time", _stamp(match[2], "%Y%m%dT%H%M%S%fZ"))


def _look_at_calibration(name: str, data: bytes) -> None:
    found = Calibration.from_document(_mapping(data))
    if name != f"config_id={found.config_id}/{found.calibration_id}.json":
        raise _Wrong(f"holds the calibration {found.calibration_id} of config_id {found.config_id}")
    _not_future("made_at", found.made_at)
    for certificate in (found.whole, *found.questions):
        _look_at_certificate(certificate)


def _look_at_certificate(certificate: Certificate) -> None:
    counts = (certificate.num_different, certificate.num_exits, certificate.num_rows)
    shares = (certificate.epsilon, certificate.delta, certificate.bound, certificate.threshold or 0.0)
    if any(type(count) is not int or count < 0 for count in counts) or list(counts) != sorted(counts):
        raise _Wrong(f"cannot be right: num_different, num_exits and num_rows are {counts}")
    if any(isinstance(share, bool) or not 0 <= share <= 1 for share in shares):
        raise _Wrong(f"cannot be right: epsilon, delta, bound and threshold are {shares}")


def _look_at_label(name: str, data: bytes) -> None:
    match = _LABEL.fullmatch(name)
    if match is None:
        return  # a stray
    if hashlib.sha256(data).hexdigest()[:12] != match[6]:
        raise _Wrong("was changed: its name has the digest of other bytes")
    fields = _mapping(data)
    if not isinstance(fields["answer"], str) or not isinstance(fields["labelled_by"], str):
        raise _Wrong("has an answer or a name that is no text")
    _not_future("its time", _stamp(match[5], "%Y%m%dT%H%M%SZ"))


def _look_at_lease(name: str, data: bytes) -> None:
    for member in _mapping(data)["members"]:
        if not isinstance(member["run_id"], str):
            raise _Wrong(f"names {member['run_id']!r} as a run")


def _look_at_attempt(name: str, data: bytes) -> None:
    fields = _mapping(data)
    of_name = name.rpartition("/")[2].rpartition("-")[0]
    if "run_id" in fields and fields["run_id"] != of_name:
        raise _Wrong(f"is of run {fields['run_id']}, and is named after {of_name}")
    _not_future("begun_at", fields.get("begun_at"))


def _look_at_run(name: str, data: bytes) -> None:
    try:
        fields = _mapping(data)
    except (ValueError, RecursionError, _Wrong):  # who reads the records of runs has told of it
        return
    of_name = name.removesuffix(".json").removesuffix(".begun")
    if fields.get("run_id", of_name) != of_name:
        raise _Wrong(f"is the record of run {fields['run_id']}")
    if fields.get("state", "running") not in _ENDED_STATES:
        raise _Wrong(f"has the state {fields['state']!r}")
    for time in ("started_at", "ended_at"):
        _not_future(time, fields.get(time))
    _not_future("heartbeat", (fields.get("heartbeat") or {}).get("at"))
    counts = fields.get("counts") or {}
    wrong = [
        key for key, value in counts.items() if isinstance(value, bool) or not isinstance(value, int | float | None)
    ]
    if wrong:
        raise _Wrong(f"counts {wrong[0]} as {counts[wrong[0]]!r}")
    started, ended = fields.get("started_at"), fields.get("ended_at")
    if started and ended and datetime.fromisoformat(ended) < datetime.fromisoformat(started):
        raise _Wrong(f"ended at {ended}, before it started at {started}")
    named = ("num_videos_answered", "num_videos_failed", "num_videos_skipped", "num_videos_left")
    parts = [fields.get(key) for key in named]
    planned = fields.get("num_videos_planned")
    is_counted = fields.get("state") == "complete" and None not in (planned, *parts)
    if is_counted and sum(int(part or 0) for part in parts) != planned:
        raise _Wrong(f"is complete, and answered, failed, skipped and left are {parts} of {planned} videos")


_LOOKS: Final[dict[str, Callable[[str, bytes], None]]] = {
    "configs": _look_at_config,
    "adoptions": _look_at_adoption,
    "questions": _look_at_question,
    "runs": _look_at_run,
    "leases": _look_at_lease,
    "calibrations": _look_at_calibration,
    "labels": _look_at_label,
    "attempts": _look_at_attempt,
}
_READ_BY_QUICK: Final = frozenset({"configs", "adoptions", "questions", "runs", "leases"})
"""A handful each, however large the output is."""
