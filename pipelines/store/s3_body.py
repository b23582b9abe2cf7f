"""The body of one answer of S3, checked to be as long as its headers promise.

Every request names a range, also for a whole object: the answer then says the object's full size beside the range, so
that a body that is short is seen even where its `Content-Length` agrees with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from framegate.pipelines.store.errors import TransientError, answer_of


async def read_body(
    fs: Any, bucket: str, key: str, start: int, end: int | None, named: Mapping[str, str]
) -> tuple[bytes, str]:
    """Bytes [start, end), fewer only where the object ends, and the etag. One try. A short body is a TransientError."""
    last = "" if end is None else str(end - 1)
    try:
        answer = await fs._call_s3("get_object", Bucket=bucket, Key=key, Range=f"bytes={start}-{last}", **named)
    except OSError as error:
        if answer_of(error)[1] != 416:  # the object ends before the range begins, as an empty one does
            raise
        answer = await fs._call_s3("head_object", Bucket=bucket, Key=key, **named)
        if answer["ContentLength"] > start:
            raise TransientError("the range was refused although the object has it") from error
        return b"", answer["ETag"].strip('"')
    async with answer["Body"] as body:
        data = await body.read()
    promised = _promised(answer, start, end)
    if len(data) != promised:
        raise TransientError(f"the answer broke off: of {promised} bytes, {len(data)} came")
    return data, answer["ETag"].strip('"')


def _promised(answer: Mapping[str, Any], start: int, end: int | None) -> int:
    said = str(answer.get("ContentRange", ""))  # "bytes 0-99/100"
    unit, _, size = said.partition("/")
    if not unit.startswith(f"bytes {start}-") or not size.isdigit():
        if start == 0 and end is None and not said:  # 200: a server that gives all of it instead of the range
            return answer["ContentLength"]
        raise TransientError(f"the answer to bytes from {start} holds {said or 'no range'}")
    return (int(size) if end is None else min(end, int(size))) - start
