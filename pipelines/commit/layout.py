"""Where things lie below an output: the names of the journal, the sealed tables and the records.

A name is a function of the object's content or key, never of a clock or a random number, so that a second writer of the
same thing meets the first one's object.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from framegate.pipelines.store import join
from framegate.schemas.keys import uri_digest

TOGETHER: Final = "together-"
"""Begins the scope of a marker for several pieces of work, which it lists."""

HISTORY: Final = "history"
"""A name that no run can have: what would be its plan holds those of all runs that are long over."""

OWN_NAMES: Final = re.compile(
    r"(?:results|failures|clips|journal|deepened|quarantine|seals|attempts|calibrations|labels)/config_id=|"
    r"(?:plans|videos|indexes)/[^/]+\.parquet$"
    r"|reports/[^/]+\.html$|(?:runs|leases|tombstones|questions|signatures)/[^/]+\.json(?:\.gz)?$"
    r"|(?:configs|adoptions)/[^/]+\.yaml$|erasures/.+\.json$"
    r"|layout\.json$"
)
"""Names below an output of objects that are ours: the folder may hold the user's videos, too."""

UNIT_ENDING: Final = ".arrow.zst"
"""Of a journal object's name (`unit_format`). Earlier versions wrote Parquet, and named it so."""

SEALED_TABLES: Final = ("results", "failures", "clips")


def number_pattern(num_digits: int) -> str:
    """Of a number as names have it: filled up with zeros to so many digits, and not with more."""
    return f"(?:[0-9]{{{num_digits}}}|[1-9][0-9]{{{num_digits},}})"


ID: Final = "[0-9a-f]{16}"
CLIP_INDEX: Final = number_pattern(7)
OBJECT_NUMBER: Final = number_pattern(8)
"""Of seals, sealed files, objects of the log of videos, and signatures."""

UNIT: Final = rf"{CLIP_INDEX}-(?:{CLIP_INDEX}-[0-9a-f]{{12}}|undecoded-{number_pattern(1)})"
"""A unit's name below its video's folder, without an ending."""

UNIT_ENDINGS: Final = r"\.(?:arrow\.zst|parquet)"
_UNIT_NAME: Final = re.compile(f"{ID}/{UNIT}{UNIT_ENDINGS}")
_PARTITION: Final = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*=[^/\x00]+(?:/(?!$)|$))*")
_SEALED_NAME: Final = re.compile(
    rf"({'|'.join(SEALED_TABLES)})/config_id=({ID})/((?:[^/]+=[^/]*/)*)({OBJECT_NUMBER})\.parquet"
)


def is_unit(name: str) -> bool:
    """Whether a name below the journal of a config_id, `<video_id>/<unit>.arrow.zst`, is one that a unit can have."""
    return _UNIT_NAME.fullmatch(name) is not None


def is_partition(text: str) -> bool:
    """Whether folders below `config_id=` are those of a partition; empty where there are none."""
    return _PARTITION.fullmatch(text) is not None


def split_sealed(name: str) -> tuple[str, str, str, int] | None:
    """(table, config_id, partition, number) of a sealed file, by its name below the output; None where it has none."""
    match = _SEALED_NAME.fullmatch(name)
    if match is None:
        return None
    table, config_id, folders, number = match.groups()
    return table, config_id, folders.rstrip("/"), int(number)


@dataclass(frozen=True)
class Layout:
    """The names below one output.

    results/config_id=<id>/[<partition>=<value>/]<seal>.parquet    sealed answers: the only thing that SQL globs. The
                                                                   seal is the one that began the file
    failures/config_id=<id>/[<partition>=<value>/]<seal>.parquet   sealed failures
    clips/config_id=<id>/[<partition>=<value>/]<seal>.parquet      sealed clips: a picture of each
    journal/config_id=<id>/<video_id>/<unit>.arrow.zst             one object per unit, until it is sealed
    deepened/config_id=<id>/<video_id>/<unit>.arrow.zst            the same of rows that were deepened
    quarantine/config_id=<id>/<video_id>/<unit>-<time>-<digest>    what lay among these and is no unit
    seals/config_id=<id>/<seal>.plan.parquet                       which journal objects a seal is made of, and to
                                                                   which files they go
    seals/config_id=<id>/<seal>.json                               what it wrote; it is complete
    seals/config_id=<id>/history.json.gz                           the records of seals that are long complete
    attempts/config_id=<id>/<video_id>/<scope>/<run_id>-<n>        work was begun; deleted when it is committed. Several
                                                                   pieces together: below the first one's video_id
    videos/<n>.parquet, videos/<n>.all.parquet                     which videos came, changed and went; all until then
    plans/<run_id>.parquet                                         the videos and questions that a run set out to do
    plans/history.parquet                                          the plans of runs that are long over
    runs/<run_id>.json                                             how far a run is; how it ended
    runs/history.json.gz                                           the records of runs that are long over
    calibrations/config_id=<id>/<calibration_id>.json              which thresholds an audit sample certifies
    labels/config_id=<id>/<video_id>/<label>.json                  what a person says is right (`commit.labels`)
    leases/<config_id>.json                                        which runs are at work on it
    configs/<config_id>.yaml                                       what the id stands for
    questions/<question_hash>-<time>.json                          a wording, and when a run first asked it
    adoptions/<own config_id>.yaml                                 a configuration filed under another one's id
    indexes/<hash>.parquet                                         members of tar shards
    reports/<run_id>.html                                          the report that a run wrote as it ended
    tombstones/<hash of URI>.json                                  a video that was erased and stays out
    erasures/<erasure_id>.begun.json                               digests of the videos that an erasure removes
    erasures/<erasure_id>/<n>.json, erasures/<erasure_id>.json     a file that an erasure replaces; what it did
    signatures/<n>.json.gz                                         what an audit has signed
    layout.json                                                    partitions, time zone, types of input columns
    """

    root: str

    def folder(self, name: str, config_id: str | None = None) -> str:
        """`name` is one of FOLDERS."""
        return join(self.root, name) if config_id is None else join(self.root, name, f"config_id={config_id}")

    def unit(
        self,
        config_id: str,
        video_id: str,
        *,
        clip_indexes: Iterable[int],
        questions: Iterable[tuple[str, int]],
        folder: str = "journal",
    ) -> str:
        """One object for one unit: clips first to last, and a digest of the (question_hash, attempt) asked of them.

        `folder`: journal, or deepened. A unit has another name in each, so that attempts at it are told apart.
        """
        indexes = sorted(clip_indexes)
        text = "\n".join(f"{question_hash} {attempt}" for question_hash, attempt in sorted(questions))
        if folder != "journal":
            text = f"{folder}\n{text}"
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        name = f"{indexes[0]:07d}-{indexes[-1]:07d}-{digest}{UNIT_ENDING}"
        return join(self.folder(folder, config_id), video_id, name)

    def undecoded(
        self, config_id: str, video_id: str, *, clip_index: int | None, attempt: int, folder: str = "journal"
    ) -> str:
        """One object for a video without frames from a clip on, whatever the questions."""
        name = f"{clip_index or 0:07d}-undecoded-{attempt}{UNIT_ENDING}"
        return join(self.folder(folder, config_id), video_id, name)

    def seal_plan(self, config_id: str, seal: int) -> str:
        return join(self.folder("seals", config_id), f"{seal:08d}.plan.parquet")

    def seal_record(self, config_id: str, seal: int) -> str:
        return join(self.folder("seals", config_id), f"{seal:08d}.json")

    def seal_history(self, config_id: str) -> str:
        return join(self.folder("seals", config_id), "history.json.gz")

    def sealed(self, table: str, config_id: str, partition: str, seal: int) -> str:
        """A file that a seal began. `partition` is such as `camera=north/taken_date=2026-11-21`, or empty."""
        parts = [partition] if partition else []
        return join(self.folder(table, config_id), *parts, f"{seal:08d}.parquet")

    def attempt(self, config_id: str, video_id: str, scope: str, run_id: str, number: int) -> str:
        """`scope` is `decode`, `decode-3-of-12` for a part of a video, the name of a unit's journal object without its
        ending, or begins with TOGETHER."""
        return join(self.folder("attempts", config_id), video_id, scope, f"{run_id}-{number:04d}")

    def video_log(self, number: int, *, is_whole: bool = False) -> str:
        """One object of the log of videos; `is_whole`: it stands for all objects with lower numbers, too."""
        return join(self.root, "videos", f"{number:08d}{'.all' if is_whole else ''}.parquet")

    def plan(self, run_id: str) -> str:
        return join(self.root, "plans", f"{run_id}.parquet")

    @property
    def plan_history(self) -> str:
        return self.plan(HISTORY)

    def run(self, run_id: str) -> str:
        return join(self.root, "runs", f"{run_id}.json")

    @property
    def run_history(self) -> str:
        return join(self.root, "runs", f"{HISTORY}.json.gz")

    def report(self, run_id: str) -> str:
        return join(self.root, "reports", f"{run_id}.html")

    def calibration(self, config_id: str, calibration_id: str) -> str:
        return join(self.folder("calibrations", config_id), f"{calibration_id}.json")

    def label(self, config_id: str, video_id: str, name: str) -> str:
        return join(self.folder("labels", config_id), video_id, name)

    def lease(self, config_id: str) -> str:
        return join(self.root, "leases", f"{config_id}.json")

    def config(self, config_id: str) -> str:
        return join(self.root, "configs", f"{config_id}.yaml")

    def adoption(self, own_id: str) -> str:
        return join(self.root, "adoptions", f"{own_id}.yaml")

    def tombstone(self, video_uri: str) -> str:
        """Named by the URI's digest: a tombstone must not name the video that was erased."""
        return join(self.root, "tombstones", f"{uri_digest(video_uri)}.json")

    def erasure_replacement(self, erasure_id: str, number: int) -> str:
        return join(self.root, "erasures", erasure_id, f"{number:06d}.json")

    def erasure_begun(self, erasure_id: str) -> str:
        return join(self.root, "erasures", f"{erasure_id}.begun.json")

    def erasure(self, erasure_id: str) -> str:
        return join(self.root, "erasures", f"{erasure_id}.json")

    def signature(self, number: int) -> str:
        return join(self.root, "signatures", f"{number:08d}.json.gz")

    @property
    def partitioning(self) -> str:
        return join(self.root, "layout.json")


FOLDERS: Final = (
    "results", "failures", "clips", "videos", "journal", "deepened", "quarantine", "seals", "attempts", "plans", "runs",
    "leases", "configs", "adoptions", "questions", "indexes", "reports", "calibrations", "labels", "tombstones",
    "erasures", "signatures",
)  # fmt: skip
