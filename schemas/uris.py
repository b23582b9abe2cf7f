"""URIs: what stands in rows, logs and errors, and what is sent to storage alone.

The query of an http URL may be a signature, which opens the object to whoever reads it. So a URL has two parts: the one
without its query names the video, and the query goes to the server and nowhere else.
"""

from __future__ import annotations

import re
from typing import Final

_HTTP: Final = re.compile(r"(https?://[^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.IGNORECASE | re.DOTALL)
_SHARD: Final = re.compile(r".*\.tar", re.IGNORECASE | re.DOTALL)
# Not the container of `abfs://container@account`. What stands before the host of a web address may be a token.
_PASSWORD: Final = re.compile(r"https?://[^/?#@]*@|[a-z0-9+.-]+://[^/?#@]*:[^/?#@]*@", re.IGNORECASE)
_PROTOCOL: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")


def protocol_of(uri: str) -> str:
    """`s3` of `s3://bucket/key`; `file` of any name without `://`, whatever else is in it."""
    match = _PROTOCOL.match(uri)
    return match[1].lower() if match else "file"


def split_access(uri: str) -> tuple[str, str]:
    """An http URL without its query, and the query; any other URI as it is, and an empty text.

    A fragment stays where it names a member of a tar shard: `https://host/a.tar?signature#member` is
    `https://host/a.tar#member`. Else it is dropped, since no server is sent one.
    """
    match = _HTTP.fullmatch(uri)
    if match is None:
        return uri, ""
    name, query, fragment = match[1], match[2] or "", match[3]
    return (f"{name}#{fragment}" if fragment and _SHARD.fullmatch(name) else name), query


def public(uri: str) -> str:
    """The URI as rows, logs and errors may have it."""
    return split_access(uri)[0]


def with_access(uri: str, access: str) -> str:
    """The URI that storage is asked for."""
    return f"{uri}?{access}" if access else uri


def holds_password(uri: str) -> bool:
    """Whether it has a password or a token before the host, as `https://user:secret@host/` has."""
    return _PASSWORD.match(uri) is not None
