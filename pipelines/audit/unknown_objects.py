"""Objects below an output whose names are unknown, and uploads that were left half done.

Only names are looked at, not what is in an object.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from framegate.pipelines.audit.report import Check
from framegate.pipelines.commit.calibrations import NAME as CALIBRATION_NAME
from framegate.pipelines.commit.first_asked import NAME as FIRST_ASKED_NAME
from framegate.pipelines.commit.labels import NAME as LABEL_NAME
from framegate.pipelines.commit.layout import FOLDERS, ID, OBJECT_NUMBER, TOGETHER, UNIT, number_pattern
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.quarantine import NAME as QUARANTINE_NAME

_TOGETHER: Final = rf"{TOGETHER}\d+-[0-9a-f]{{12}}"
_RUN: Final = r"[^/]+"
JOURNAL_NAME: Final = re.compile(
    rf"(?:journal|deepened)/config_id=({ID})/({ID})/{UNIT}\.(?:arrow\.zst|parquet)", re.ASCII
)
SEALED_NAME: Final = re.compile(
    rf"(results|failures|clips)/config_id=({ID})/(?:[^/]+=[^/]*/)*({OBJECT_NUMBER})\.parquet", re.ASCII
)
_NAMES: Final[dict[str, str]] = {
    # Any object in these five is looked at by a check of its own, whatever it is called.
    "results": r".+\.parquet",
    "failures": r".+\.parquet",
    "clips": r".+\.parquet",
    "journal": r".+",
    "deepened": r".+",
    "quarantine": QUARANTINE_NAME,
    "videos": rf"{OBJECT_NUMBER}(?:\.all)?\.parquet",
    "seals": rf"config_id={ID}/(?:{OBJECT_NUMBER}\.(?:plan\.parquet|json)|history\.json\.gz)",
    "attempts": rf"config_id={ID}/{ID}/(?:decode(?:-\d+-of-\d+)?|{UNIT}|{_TOGETHER})/{_RUN}-{number_pattern(4)}",
    "plans": rf"{_RUN}\.parquet",
    "runs": rf"(?:{_RUN}\.json|history\.json\.gz)",
    "leases": rf"{ID}\.json",
    "configs": rf"{ID}\.yaml",
    "adoptions": rf"{ID}\.yaml",
    "questions": FIRST_ASKED_NAME,
    "indexes": r"[0-9a-f]{32}\.parquet",
    "reports": rf"{_RUN}\.html",
    "calibrations": CALIBRATION_NAME,
    "labels": LABEL_NAME,
    "tombstones": r"[0-9a-f]{32}\.json",
    "signatures": rf"{OBJECT_NUMBER}\.json\.gz",
    "erasures": rf"[^/]+(?:/{number_pattern(6)}|\.begun)?\.json",
}
_OURS: Final = re.compile("|".join([r"layout\.json", *(rf"{folder}/{_NAMES[folder]}" for folder in FOLDERS)]), re.ASCII)


@dataclass(frozen=True)
class OutputNames:
    """Turns the URIs of a listing into names relative to the output, as records have them."""

    prefixes: tuple[str, ...]

    @staticmethod
    def of(output: Output) -> OutputNames:
        """A listing gives absolute paths where a relative one was asked for, and protocols where there are some."""
        fs, path = output.store.filesystem(output.root)
        return OutputNames(tuple(f"{text.rstrip('/')}/" for text in (fs.unstrip_protocol(path), path, output.root)))

    def name(self, uri: str) -> str:
        for prefix in self.prefixes:
            if uri.startswith(prefix):
                return uri[len(prefix) :]
        raise ValueError(f"{uri} does not lie below {self.prefixes[-1]}")


def is_ours(name: str) -> bool:
    """Whether an object below the output has a name that Framegate gives."""
    return _OURS.fullmatch(name) is not None


def check_unknown_objects(check: Check, output: Output) -> None:
    """Every object that listings show has a name that the layout knows."""
    below = OutputNames.of(output)
    for info in output.store.list(output.root):
        check.num_checked += 1
        name = below.name(info.uri)
        if not is_ours(name):
            check.find(f"{name} ({info.size_bytes:,} bytes) is no name that Framegate gives: move it elsewhere")


def check_uploads(check: Check, output: Output) -> None:
    """No multipart upload is open: no listing shows one, and its parts are paid for."""
    below = OutputNames.of(output)
    for upload in output.store.open_uploads(output.root):
        check.num_checked += 1
        check.find(
            f"an upload of {below.name(upload.uri)} is open since {upload.started:%Y-%m-%d %H:%M}"
            f" (id {upload.upload_id}): Framegate begins none; abort it"
        )
