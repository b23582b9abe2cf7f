"""A sealed file's history: seals add rows to it and erasures take some out; together they explain what is there.

    seal 7 made A   ── erasure: A -> B ──   seal 8 added to B and made C   ── erasure: C -> D ──   D is there

Records of seals have A, B and C, those of erasures each step with both hashes. A step that was noted and not done leads
nowhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from framegate.pipelines.audit.report import Check
from framegate.pipelines.commit.seal_log import SealLog, SealRecord
from framegate.pipelines.commit.sealed_file import SealedFile
from framegate.pipelines.erase.records import Replacement
from framegate.schemas.errors import CredentialsError, StorageError


@dataclass(frozen=True)
class Version:
    """A file as the record of one seal has it."""

    seal: int
    file: SealedFile


@dataclass(frozen=True)
class FileHistory:
    """What records say of one file, in order of the seals."""

    versions: list[Version] = field(default_factory=list)

    @property
    def last(self) -> Version:
        return self.versions[-1]

    @property
    def links(self) -> Iterator[tuple[str, str]]:
        """(sha256, sha256) of two versions that nothing but erasures may lie between, or of one and the same."""
        for number, version in enumerate(self.versions):
            file = version.file
            if number and file.sha256_before is not None:
                yield self.versions[number - 1].file.sha256, file.sha256_before
            if file.sha256_sealed is not None:
                yield file.sha256_sealed, file.sha256


def read_histories(records: Sequence[SealRecord], *, with_merged: bool = False) -> dict[str, FileHistory]:
    """By URI the history of each file that is there after some seals; of those that were merged as well, if wanted."""
    histories: dict[str, FileHistory] = defaultdict(FileHistory)
    for record in records:
        for file in record.files:
            histories[file.uri].versions.append(Version(record.seal, file))
        for file in record.merged:
            histories[file.uri].versions.append(Version(record.seal, file))
            if not with_merged:
                del histories[file.uri]
    return dict(histories)


class Histories:
    """The replacements of all erasures, by the file that they are of."""

    def __init__(self, replacements: Iterable[Replacement]) -> None:
        self._of_file: dict[str, list[Replacement]] = defaultdict(list)
        for each in replacements:
            self._of_file[each.file].append(each)

    def between(self, uri: str, before: str, after: str) -> list[Replacement] | None:
        """The replacements that lead from one version to another, in order; None where none do."""
        return self._steps(uri, before, lambda here, steps: here == after)

    def since(self, file: SealedFile, size_bytes: int, num_rows: int, digest: str | None) -> list[Replacement] | None:
        """The replacements that lead from the recorded version to the one that is there, in order; None where none do.

        Without `digest`, only rows and size are compared, and an erasure is recognised by the number of rows it left.
        """

        def is_there(here: str | None, steps: Sequence[Replacement]) -> bool:
            if digest not in (None, here):
                return False
            if steps:
                return steps[-1].rows_after == num_rows
            return (num_rows, size_bytes) == (file.num_rows, file.size_bytes)

        return self._steps(file.uri, file.sha256, is_there)

    def _steps(
        self, uri: str, before: str, is_there: Callable[[str | None, Sequence[Replacement]], bool]
    ) -> list[Replacement] | None:
        waiting: list[tuple[str | None, list[Replacement]]] = [(before, [])]
        seen: set[str | None] = set()
        while waiting:
            here, steps = waiting.pop(0)
            if is_there(here, steps):
                return steps
            if here not in seen:
                seen.add(here)
                waiting += [
                    (each.sha256_after, [*steps, each])
                    for each in self._of_file.get(uri, ())
                    if each.sha256_before == here
                ]
        return None


def read_history(check: Check, log: SealLog, config_id: str) -> list[SealRecord] | None:
    """The records of seals that are folded; None, and a finding, where they cannot be read."""
    try:
        return log.read_history()
    except CredentialsError:
        raise
    except StorageError as error:
        check.find(
            f"{error}: bring it back from a copy; until then nobody knows what of config_id {config_id} is sealed"
        )
        return None
