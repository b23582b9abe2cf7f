"""What an audit reports: one Check for each invariant, with how much was checked and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from framegate.schemas.escape import escape

CHECKS: Final[dict[str, str]] = {
    "unique_results": "no clip and question is answered twice under one config_id",
    "unique_failures": "no failed attempt stands twice",
    "unique_clips": "no clip stands twice under one config_id and clip policy",
    "planned": "every row belongs to a run that planned it, and every config_id is described",
    "counts": "what a finished run says that it wrote is there",
    "sealed_files": "every sealed file is named by a seal, whole, and as it was sealed",
    "schema": "every sealed file has the columns that it should have",
    "layout": "layout.json is there, and says what the seals and their files say",
    "records": "every record, plan, label and certificate is whole, and what its name says",
    "journal": "every unit that waits for its seal is whole and well named",
    "erased": "nothing is left of a video that was erased, and every tombstone is of an erasure",
    "strays": "nothing lies below the output that does not belong there, hidden or not",
    "uploads": "no upload was begun and left open",
    "signed": "what was signed is as it was signed; with --verify alone",
}
"""The name of each check, and what is true where it finds nothing. Names are stable: alerts may use them."""

MAX_SENTENCES = 20


@dataclass
class Check:
    """One invariant.

    num_checked    how many things were looked at: rows, files, runs or objects, as the check has it
    num_findings   how many of them are wrong
    findings       one sentence each, MAX_SENTENCES at most
    notes          what is worth knowing and not wrong, MAX_SENTENCES at most
    """

    name: str
    num_checked: int = 0
    num_findings: int = 0
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def find(self, sentence: str) -> None:
        """Something is wrong."""
        self.num_findings += 1
        if len(self.findings) < MAX_SENTENCES:
            self.findings.append(escape(sentence))

    def note(self, sentence: str) -> None:
        """Something is worth knowing."""
        if len(self.notes) < MAX_SENTENCES:
            self.notes.append(escape(sentence))


@dataclass(frozen=True)
class AuditReport:
    """All checks in the order of CHECKS."""

    checks: tuple[Check, ...]

    @property
    def num_findings(self) -> int:
        """How much is wrong, over all checks."""
        return sum(check.num_findings for check in self.checks)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return self.num_findings == 0

    def __getitem__(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)


def new_report() -> AuditReport:
    """All checks, none of them made."""
    return AuditReport(tuple(Check(name) for name in CHECKS))
