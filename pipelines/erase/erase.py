"""Erase: removes a video's rows, journal, attempts, plans and names from an output, and keeps it out for ever.

    1. begin     record the digests of the videos and set their tombstones: from now on no plan contains the videos and
                 no seal writes their rows
    2. finish    complete the seals that are under way, so that the names of their files are taken and a sealer that was
                 frozen in the middle cannot bring rows back
    3. remove    delete journal objects, attempts, labels and all reports; replace every file that holds the videos by
                 one without them. No file is deleted. A replacement is recorded first, and made only if the file is
                 still the version that was read
    4. repeat    search and remove until a search finds nothing: a sealer may have added a file meanwhile
    5. receipt   record what was removed

Every step can be done twice, and by two processes at once: an erasure that died is completed by beginning again.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator

from framegate.pipelines.commit import plan_history, run_history
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import finish_seals
from framegate.pipelines.commit.tombstones import set_tombstones
from framegate.pipelines.commit.unit_format import parse_unit
from framegate.pipelines.erase.records import (
    ErasureBegun,
    ErasureReceipt,
    Replacement,
    ReplacementLog,
    leads_to,
    put_erasure_begun,
    put_erasure_receipt,
    read_erasure_begun,
    read_erasure_receipt,
    read_replacements,
    unfinished_erasures,
)
from framegate.pipelines.erase.rewrite import Rewritten, removed_by_run, without_names, without_rows
from framegate.pipelines.erase.search import Matches, VideoObject, find_matches
from framegate.pipelines.erase.targets import Targets
from framegate.pipelines.failpoints import reach
from framegate.pipelines.store import ObjectInfo, join
from framegate.schemas.clock import now
from framegate.schemas.errors import FramegateError, ObjectNotFound, StorageError, VersionChanged
from framegate.schemas.keys import uri_digest

_HISTORIES = {"runs": run_history.renew_history, "plans": plan_history.renew_history}
MAX_PASSES = 50  # a run at the same time causes a few; more mean that something else keeps writing

NOT_REACHED = (
    "the videos themselves, where they lie",
    "older versions of the objects that were replaced or deleted, where the bucket keeps versions or the file system"
    " snapshots: delete those, too",
    "hidden temporary files that a killed process left on a local disk: the audit counts them, delete them",
    "copies of this output elsewhere: replicas, backups, exports, what an engine has cached",
    "results of queries, reports that were written to files, logs and what stood on a terminal",
    "the input of jobs: lists and manifests that name the videos",
    "messages in failures of other videos, should one name an erased video",
    "ids and digests: plans of seals keep a video's id, receipts and tombstones its digest; no URI can be read from"
    " them, but who knows a URI can tell that it was here",
)
SHARD_NOT_REACHED = (
    "the tar shards: the next run that names such a shard indexes it again, and the index names all of its members"
)


def erase(output: Output, uris: Iterable[str], *, erasure_id: str | None = None) -> ErasureReceipt:
    """Erases the videos at `uris`, in every version, under every config_id, whether or not they were ever seen.

    Without an id, erasures that broke off are completed first; if one of them was of all these videos, its receipt is
    returned. With the id of one that broke off, that one is completed. Raises StorageError where storage fails,
    FramegateError where there is no URI or the id belongs to an erasure of other videos.
    """
    targets = Targets.of(uris)
    if not targets.digests:
        raise FramegateError("an erasure needs at least one URI, got none")
    if erasure_id is None:
        for receipt in complete_erasures(output):
            if targets.digests <= frozenset(receipt.videos):
                return receipt
        erasure_id = make_erasure_id()
    begun = ErasureBegun(erasure_id=erasure_id, begun_at=_now(), videos=tuple(sorted(targets.digests)))
    return _complete(output, put_erasure_begun(output, begun), targets)


def complete_erasures(output: Output) -> list[ErasureReceipt]:
    """Completes all erasures that have begun and have no receipt. Raises StorageError."""
    receipts = []
    for erasure_id in unfinished_erasures(output):
        begun = read_erasure_begun(output, erasure_id)
        receipts.append(_complete(output, begun, Targets(frozenset(begun.videos))))
    return receipts


def complete_and_erase(output: Output, uris: Iterable[str]) -> list[ErasureReceipt]:
    """First complete what broke off, then erase those of `uris` that this did not reach; a receipt of each erasure.

    Raises FramegateError where it breaks off: the same call again completes it.
    """
    receipts = complete_erasures(output)
    forgotten = {digest for receipt in receipts for digest in receipt.videos}
    if left := [uri for uri in uris if uri_digest(uri) not in forgotten]:
        receipts.append(erase(output, left))
    return receipts


def make_erasure_id() -> str:
    """A new id. Ids sort by time."""
    return f"{now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _complete(output: Output, begun: ErasureBegun, targets: Targets) -> ErasureReceipt:
    receipt = read_erasure_receipt(output, begun.erasure_id)
    if receipt is not None:
        return receipt
    set_tombstones(output, begun.videos, begun.erasure_id)
    for config_id in _config_ids_with_seals(output):
        finish_seals(output, config_id)
    removal = _Removal(output, targets, ReplacementLog(output, begun.erasure_id))
    removal.renew_histories()
    for _ in range(MAX_PASSES):
        matches = find_matches(output, targets)
        if matches.is_empty:
            break
        removal.remove(matches)
    else:
        raise StorageError(
            f"rows of erased videos came back to {output.root} {MAX_PASSES} times while they were taken out; look for"
            " a process that writes there other than by this program, and erase again"
        )
    receipt = put_erasure_receipt(output, removal.receipt(begun))
    reach("erase.receipt")
    return receipt


def _config_ids_with_seals(output: Output) -> list[str]:
    folders = {info.uri.rsplit("/", 2)[-2] for info in output.list("seals")}
    return sorted(folder.removeprefix("config_id=") for folder in folders)


class _Removal:
    """Removes what a search found, and counts it."""

    def __init__(self, output: Output, targets: Targets, log: ReplacementLog) -> None:
        self._output = output
        self._targets = targets
        self._log = log
        self._done: list[Replacement] = []
        self._attempts: set[str] = set()
        self._labels: set[str] = set()
        self._indexes: set[str] = set()
        self._reports: set[str] = set()

    def remove(self, matches: Matches) -> None:
        """Plans are replaced last: should this process die before, they tell the next one the video's ids."""
        self._delete(matches)
        for record in matches.records:
            self._replace(record, "runs", without_names)
        for file in sorted(matches.files, key=lambda file: file.table == "plans"):
            self._replace(file.info, file.table, without_rows)
        self.renew_histories()

    def renew_histories(self) -> None:
        """Gives the histories other versions where records or plans were replaced, by this process or one before it.

        A run that folds may have read these before, and would put the names into the history: now it cannot.
        """
        tables = {each.table for each in self._log.replacements}
        for table, renew_history in _HISTORIES.items():
            if table in tables:
                renew_history(self._output)

    def receipt(self, begun: ErasureBegun) -> ErasureReceipt:
        done = [each for each in self._log.replacements if each in self._done or self._was_done(each)]
        rows: dict[str, dict[str, int]] = {}
        for each in done:
            if each.rows_before:
                tables = rows.setdefault(each.config_id or "", {})
                tables[each.table] = tables.get(each.table, 0) + each.rows_before - each.rows_after
        return ErasureReceipt(
            erasure_id=begun.erasure_id,
            begun_at=begun.begun_at,
            finished_at=_now(),
            videos=begun.videos,
            rows=rows,
            objects=tuple(
                {"file": each.file, "rows_before": each.rows_before, "rows_after": each.rows_after} for each in done
            ),
            num_attempts=len(self._attempts),
            num_labels=len(self._labels),
            num_indexes=len(self._indexes),
            num_reports=len(self._reports),
            not_reached=(*NOT_REACHED, SHARD_NOT_REACHED) if self._indexes else NOT_REACHED,
        )

    def _delete(self, matches: Matches) -> None:
        for deletion in self._journal_deletions(matches.journal):
            self._log.add(deletion)
            self._done.append(deletion)
            reach("erase.noted")
        self._output.store.delete(item.info.uri for item in (*matches.journal, *matches.attempts))
        self._output.store.delete(item.info.uri for item in (*matches.labels, *matches.set_aside))
        self._output.store.delete(info.uri for info in (*matches.indexes, *matches.reports))
        self._attempts |= {item.info.uri for item in matches.attempts}
        self._labels |= {item.info.uri for item in matches.labels}
        self._indexes |= {info.uri for info in matches.indexes}
        self._reports |= {info.uri for info in matches.reports}
        reach("erase.swept")

    def _journal_deletions(self, journal: Iterable[VideoObject]) -> Iterator[Replacement]:
        infos = {item.info.uri: item.info for item in journal}
        for uri, data in self._output.store.read_present(infos):
            folder = "deepened" if "/deepened/config_id=" in uri else "journal"
            if data is not None:  # else it was sealed meanwhile, and the next search finds it in a table
                rows = parse_unit(uri, data, ["row_kind", "run_id"])
                yield Replacement(
                    file=_below(uri, folder),
                    version=infos[uri].version,
                    sha256_before=_sha256(data),
                    sha256_after=None,
                    rows_before=rows.num_rows,
                    rows_after=0,
                    removed=removed_by_run(uri, rows),
                )

    def _replace(
        self, info: ObjectInfo, folder: str, rewrite: Callable[[str, bytes, Targets], Rewritten | None]
    ) -> None:
        """Replaces an object unless it was changed since it was listed: then the next search finds it again."""
        try:
            data = self._output.store.read(info.uri)
            if self._output.store.stat(info.uri).version != info.version:
                return
        except ObjectNotFound:  # folded into another object, which the next search finds
            return
        rewritten = rewrite(info.uri, data, self._targets)
        if rewritten is None:
            return
        replacement = Replacement(
            file=_below(info.uri, folder),
            version=info.version,
            sha256_before=_sha256(data),
            sha256_after=_sha256(rewritten.data),
            rows_before=rewritten.rows_before,
            rows_after=rewritten.rows_after,
            removed=rewritten.removed,
        )
        self._log.add(replacement)
        reach("erase.noted")
        try:
            self._output.store.replace(info.uri, rewritten.data, if_match=info.version)
        except (VersionChanged, ObjectNotFound):
            return
        self._done.append(replacement)
        reach("erase.replaced")

    def _was_done(self, replacement: Replacement) -> bool:
        """Whether a replacement that a process before this one recorded was made: the object now there came of it."""
        uri = join(self._output.root, replacement.file)
        try:
            now = _sha256(self._output.store.read(uri))
        except ObjectNotFound:
            return replacement.sha256_after is None
        of_all = (each for _, each in read_replacements(self._output))
        return leads_to(of_all, replacement.file, replacement.sha256_after, now)


def _below(uri: str, folder: str) -> str:
    """The object's name below the output, which begins with `folder`; no folder below that has the same name."""
    return f"{folder}/{uri.rpartition(f'/{folder}/')[2]}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _now() -> str:
    return now().isoformat(timespec="seconds")
