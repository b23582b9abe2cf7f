"""`layout.json` against the seals: it is there, and says what the files that were sealed under it say."""

from __future__ import annotations

from framegate.pipelines.audit.report import Check
from framegate.pipelines.audit.seals import Seals
from framegate.pipelines.commit.fixed import Fixed, read_fixed
from framegate.pipelines.commit.migrate import recorded_inputs
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import check_partition_by, folder_of, in_zone
from framegate.schemas.clock import find_zone
from framegate.schemas.errors import CredentialsError, FramegateError, StorageError


def check_layout(check: Check, output: Output, seals: Seals) -> None:
    """A time zone, where no partition is a part of a time, stands nowhere else, and is not compared. Nor is a column
    that no sealed file has yet. A type that differs is a note where the output may have files of an earlier version."""
    try:
        fixed = read_fixed(output)
        if fixed is not None:
            check_partition_by(fixed.partition_by)
            find_zone(fixed.time_zone)
    except CredentialsError:
        raise
    except (FramegateError, ValueError, KeyError) as error:
        check.find(f"layout.json cannot be right: {error}; bring it back from a copy")
        return
    check.num_checked += 1
    if fixed is None:
        if any(seals.records.values()) or _has_units(output):
            check.find(
                "layout.json is missing, so that the next run may fix other partitions and types: bring it back from a"
                " copy"
            )
        return
    _check_files(check, seals, fixed)
    for plan in seals.plans:
        check.num_checked += 1
        if plan.objects and plan.partition_by != in_zone(fixed.partition_by, fixed.time_zone):
            check.find(
                f"layout.json says partition_by {list(in_zone(fixed.partition_by, fixed.time_zone))}, and the plan of"
                f" seal {plan.seal} {list(plan.partition_by)}: bring the right one back from a copy"
            )


def _check_files(check: Check, seals: Seals, fixed: Fixed) -> None:
    folders = [folder_of(entry) for entry in fixed.partition_by]
    has_past = _has_past(seals)
    for name, (_, history) in sorted(seals.files.items()):
        check.num_checked += 1
        file = history.last.file
        lies_in = [part.partition("=")[0] for part in file.partition.split("/") if part]
        if lies_in != folders:
            check.find(
                f"layout.json says partition_by {list(fixed.partition_by)}, and {name} lies in {lies_in or 'none'}"
            )
        if file.inputs is None or (has_past and not fixed.has_columns):
            continue
        known = {column: str(data_type) for column, data_type in fixed.inputs.items()}
        for column, of_file in file.inputs.items():
            if of_file in ("null", known.get(column)):
                continue
            differs = f"layout.json has {known.get(column, 'nothing')} as {column}, and {name} {of_file}"
            if has_past:
                check.note(differs)
            else:
                check.find(f"{differs}, which no version writes so: bring the right layout.json back from a copy")


def _has_past(seals: Seals) -> bool:
    """Whether a seal was recorded whose files do not have the own columns of this version.

    Versions that wrote no columns of manifests into the layout wrote config_id into files. A migration leaves a column
    of theirs as it is where a value of it would not be the same, and what they committed may be sealed later. So where
    there is such a record, no difference tells of damage.
    """
    return any(
        recorded_inputs(file) is None
        for records in seals.records.values()
        for record in records
        for file in record.files
    )


def _has_units(output: Output) -> bool:
    try:
        return next(iter(output.list("journal")), None) is not None
    except StorageError:
        return False
