"""Certificates that are made at one time, before they become a calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from framegate.schemas.certificate import Certificate


@dataclass(frozen=True, kw_only=True)
class Group:
    """A certificate of the rows that have one value in a column of the manifest. It is not stored."""

    value: str | None
    certificate: Certificate


@dataclass(frozen=True, kw_only=True)
class Made:
    """The certificate of all rows; one of each question, which hold together; and of each group, likewise."""

    whole: Certificate
    questions: Sequence[Certificate]
    groups: Sequence[Group] = ()
