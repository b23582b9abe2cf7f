"""Tombstones and the records of erasures against each other: neither stands without the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from framegate.pipelines.audit.moments import find_future
from framegate.pipelines.audit.report import Check
from framegate.pipelines.audit.unknown_objects import OutputNames, is_ours
from framegate.pipelines.commit.output import Output
from framegate.schemas.json_object import load_json

_BEGUN = ".begun.json"


def check_tombstones(check: Check, output: Output) -> None:
    """Each tombstone is of an erasure that names its digest, each complete erasure has its tombstones, and what is
    recorded of one is there as a whole."""
    below = OutputNames.of(output)
    # An erasure is recorded before its tombstones are set, and its receipt is put after them.
    tombstones = _read(check, output, below, "tombstones")
    told = _read(check, output, below, "erasures")
    begun = {name.removesuffix(_BEGUN): fields for name, fields in told.items() if name.endswith(_BEGUN)}
    receipts = {
        name.removesuffix(".json"): fields
        for name, fields in told.items()
        if "/" not in name and not name.endswith(_BEGUN)
    }
    steps: dict[str, set[int]] = defaultdict(set)
    for name in told:
        folder, _, number = name.removesuffix(".json").partition("/")
        if number.isascii() and number.isdigit():
            steps[folder].add(int(number))
    videos = {id: _digests(fields) | _digests(receipts.get(id, {})) for id, fields in begun.items()}
    for name, fields in tombstones.items():
        digest, erasure_id = name.removesuffix(".json"), str(fields.get("erasure_id"))
        of_any = {id for id, digests in videos.items() if digest in digests}
        check.num_checked += 1
        if erasure_id not in of_any:
            what = "is of other videos" if erasure_id in videos else "is not recorded"
            check.find(
                f"tombstones/{name} names the erasure {erasure_id}, which {what}: a video is kept"
                " out that nobody erased; bring the record back, or move the tombstone away"
            )
    for erasure_id, fields in sorted(receipts.items()):
        if erasure_id not in begun:
            check.find(f"erasures/{erasure_id}.json is a receipt, and {erasure_id}{_BEGUN} is missing: bring it back")
        elif _digests(fields) != _digests(begun[erasure_id]):
            check.find(f"erasures/{erasure_id}.json is of other videos than {erasure_id}{_BEGUN}: compare with a copy")
        for digest in sorted(_digests(fields)):
            if f"{digest}.json" not in tombstones:
                check.find(
                    f"erasure {erasure_id} has no tombstones/{digest}.json, so that the video comes back: run"
                    " 'framegate erase' for it again"
                )
    for erasure_id, numbers in sorted(steps.items()):
        if erasure_id not in begun:
            check.find(f"erasures/{erasure_id}/ has steps of an erasure that is not recorded: bring its record back")
        if len(numbers) != max(numbers) + 1:
            check.find(f"erasures/{erasure_id}/ lacks steps: it has {len(numbers)} and one with number {max(numbers)}")
    for erasure_id, fields in [*begun.items(), *receipts.items()]:
        if fields.get("erasure_id") != erasure_id:
            check.find(f"erasures/{erasure_id} has the record of {fields.get('erasure_id')}: bring it back from a copy")
        for name in ("begun_at", "finished_at"):
            if sentence := find_future(fields.get(name)):
                check.find(f"erasures/{erasure_id}: {name} {sentence}")


def _digests(fields: Mapping[str, Any]) -> frozenset[str]:
    videos = fields.get("videos")
    return frozenset(map(str, videos)) if isinstance(videos, list) else frozenset()


def _read(check: Check, output: Output, below: OutputNames, folder: str) -> dict[str, dict[str, Any]]:
    """The JSON objects in a folder, by name below it."""
    found: dict[str, dict[str, Any]] = {}
    for uri, data in output.store.read_present(info.uri for info in output.list(folder)):
        name = below.name(uri)
        if data is None or not is_ours(name):  # a stray
            continue
        try:
            fields = load_json(data)
            if not isinstance(fields, dict):
                raise TypeError(f"it holds a {type(fields).__name__}")
        except (ValueError, RecursionError, TypeError) as error:
            check.find(f"{name} is no record of ours ({error}): bring it back from a copy")
            continue
        found[name.removeprefix(f"{folder}/")] = fields
    return found
