"""Reports that runs leave in the output: `reports/<run_id>.html`.

An erasure deletes all reports, since any of them may show the video. One that is written at the same time may have read
the video before: the writer looks at the tombstones once more when the report is there, and takes it away again where
one has come meanwhile. An erasure sets its tombstones before it looks for reports, so that one of the two meets the
other. Where the writer dies in between, the report says how many erased videos it knows of, and the audit finds it.
"""

from __future__ import annotations

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.tombstones import read_tombstones
from framegate.pipelines.report.build import Request, build_report
from framegate.pipelines.report.page import render_page
from framegate.schemas.config import OutputConfig
from framegate.schemas.errors import StorageError

MAX_TRIES = 3


def store_report(config: OutputConfig, request: Request, run_id: str) -> str:
    """The URI of the report of a run, which takes the place of an earlier one.

    Raises StorageError, also where MAX_TRIES erasures came between.
    """
    output = Output.open(config)
    uri = output.layout.report(run_id)
    for _ in range(MAX_TRIES):
        report = build_report(config, request)
        _put(output, uri, render_page(report).encode())
        if len(read_tombstones(output)) == report.num_erased:
            return uri
        output.store.delete([uri])
    raise StorageError(f"videos were erased {MAX_TRIES} times while {uri} was written; it is not kept")


def _put(output: Output, uri: str, data: bytes) -> None:
    if not output.store.put_once(uri, data).is_ours:
        output.store.replace(uri, data, if_match=output.store.stat(uri).version)
