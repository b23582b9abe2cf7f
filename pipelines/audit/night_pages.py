"""Reports of nights: none may show a video that was erased since it was made.

An erasure deletes all reports. One that knows of fewer erased videos than there are was written beside an erasure, by a
process that died before it could look again.
"""

from __future__ import annotations

import re
from typing import Final

from framegate.pipelines.audit.report import Check
from framegate.pipelines.commit.output import Output
from framegate.schemas.errors import CredentialsError, ObjectNotFound, StorageError

HEAD_BYTES: Final = 2048
"""What is read of each: the mark stands in the first 500 bytes of a report."""

_ERASED: Final = re.compile(rb'<meta name="framegate-erased" content="(\d+)">')


def check_night_pages(check: Check, output: Output, num_erased: int) -> None:
    """`num_erased`: the tombstones that were there before. A report that cannot be read is a finding, too."""
    for info in output.list("reports"):
        check.num_checked += 1
        try:
            found = _ERASED.search(output.store.read(info.uri, 0, min(info.size_bytes, HEAD_BYTES)))
        except CredentialsError:
            raise
        except ObjectNotFound:  # an erasure took it
            continue
        except StorageError as error:
            check.find(str(error))
            continue
        if found is None:
            check.find(f"{info.uri} is no report that Framegate made: move it elsewhere")
        elif int(found[1]) < num_erased:
            check.find(f"{info.uri} was made before videos were erased, and may show them: delete it")
