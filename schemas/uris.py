"""URIs: what stands in rows, logs and errors, and what is sent to storage alone.

The query of an http URL may be a signature, which opens the object to whoever reads it. So a URL has two parts: one
that names the video, without the query but for the version of the object in it, and the query, which goes to the server
and nowhere else.
"""

from __future__ import annotations

import re
from typing import Final

_HTTP: Final = re.compile(r"(https?://[^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.IGNORECASE | re.DOTALL)
_SHARD: Final = re.compile(r".*\.tar", re.IGNORECASE | re.DOTALL)
# Of S3, of Azure and of Google Cloud Storage. The value is as they give it, and not as a token may be.
_VERSION: Final = re.compile(r"(?:^|&)((?:versionId|snapshot|generation)=(?:[a-z0-9._:-]|%3A){1,120})(?=&|$)", re.I)
_PROTOCOL: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")


def protocol_of(uri: str) -> str:
    """`s3` of `s3://bucket/key`; `file` of any name without `://`, whatever else is in it."""
    match = _PROTOCOL.match(uri)
    return match[1].lower() if match else "file"


def split_access(uri: str) -> tuple[str, str]:
    """An http URL without its query, and the query; any other URI as it is, and an empty text.

    A version in the query, such as `versionId=...`, stays in the name, too: it says which object is meant. Not in that
    of a tar shard, which has its members' names behind it. A fragment stays where it names such a member:
    `https://host/a.tar?signature#member` is `https://host/a.tar#member`. Else it is dropped, as no server is sent one.
    """
    match = _HTTP.fullmatch(uri)
    if match is None:
        return uri, ""
    name, query, fragment = match[1], match[2] or "", match[3]
    if _SHARD.fullmatch(name):
        return (f"{name}#{fragment}" if fragment else name), query
    version = _VERSION.search(query)
    return (f"{name}?{version[1]}" if version else name), query


def without_query(uri: str) -> str:
    """The name of what an http URL leads to, whatever version of it is meant: to tell by how it ends what it is."""
    match = _HTTP.fullmatch(uri)
    return uri if match is None else split_access(uri)[0].partition("?")[0]


def public(uri: str) -> str:
    """The URI as rows, logs and errors may have it."""
    return split_access(uri)[0]


def with_access(uri: str, access: str) -> str:
    """The URI that storage is asked for: the query as it was given, as a signature may be of its very order."""
    return f"{without_query(uri)}?{access}" if access else uri
