"""URIs: what stands in rows, logs and errors, and what is sent to storage alone.

The query of an http URL may be a signature, which opens the object to whoever reads it. So a URL has two parts: one
that names the video, without the query but for the version of the object in it, and the query, which goes to the server
and nowhere else.
"""

from __future__ import annotations

import re
from typing import Final

from framegate.schemas import signatures

_HTTP: Final = re.compile(r"(https?://[^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.IGNORECASE | re.DOTALL)
_SHARD: Final = re.compile(r".*\.tar", re.IGNORECASE | re.DOTALL)
# Of S3, of Azure and of Google Cloud Storage. The value is as they give it, and not as a token may be.
_VERSION: Final = re.compile(r"(?:^|&)((?:versionId|snapshot|generation)=(?:[a-z0-9._:-]|%3A){1,120})(?=&|$)", re.I)
# What a careless paste leaves in front of a URI, and a client may drop.
_BEFORE: Final = r"[\s\x00-\x20\u00ad\u200b-\u200f\u2060\ufeff]*"
# Not the container of `abfs://container@account`. What stands before the host of a web address may be a token. A colon
# that no port follows, and an `@` further on, are a password with characters in it that should be encoded.
_PASSWORD: Final = re.compile(
    rf"{_BEFORE}(?:https?://[^/?#@]*@|[\w+.-]+://[^/?#@]*(?::|%3a)[^/?#@]*@|"
    r"[\w+.-]+://(?!arn:)[^/?#@\[\]]*:(?!\d*(?:[/?#]|$))[^@]*@)",
    re.IGNORECASE,
)
_BEFORE_HOST: Final = re.compile(r"(.*?://)(?:[^/?#]*@|.*@)", re.DOTALL)
_PROTOCOL: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
# What some client of fsspec would take for a protocol, or for a chain of them.
_ANY_PROTOCOL: Final = re.compile(rf"{_BEFORE}([a-zA-Z][\w+.-]*)(?:://|::(?=.*://))", re.DOTALL)

KINDS: Final[dict[str, str]] = {
    "file": "file", "local": "file",
    "s3": "s3", "s3a": "s3",
    "gs": "gs", "gcs": "gs",
    "az": "az", "abfs": "az", "abfss": "az", "adl": "az",
    "http": "http", "https": "https",
    "ftp": "ftp", "sftp": "sftp", "webhdfs": "webhdfs",
    "memory": "memory",
}  # fmt: skip
"""Every protocol that anything is read by, and the kind of storage that it stands for. fsspec knows more: protocols
that open other protocols (`simplecache`, `zip`, `reference`), load libraries (`arrow_hdfs`) or run work elsewhere
(`dask`). None of them is ever made."""


def protocol_of(uri: str) -> str:
    """`s3` of `s3://bucket/key`; `file` of any name without `://`, whatever else is in it."""
    match = _PROTOCOL.match(uri)
    return match[1].lower() if match else "file"


def kind_of(uri: str) -> str:
    """One word for all protocols of a kind of storage: `az` of `abfs://`. Of a protocol that is not known, itself."""
    protocol = protocol_of(uri)
    return KINDS.get(protocol, protocol)


def claimed_protocol(uri: str) -> str:
    """What some client would take for the protocol: `simplecache` of `simplecache::s3://b/a`, `arrow_hdfs`, and `https`
    where a space stands before it. `protocol_of` calls all of these names of files. `file` where there is none."""
    match = _ANY_PROTOCOL.match(uri)
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
    """The URI as rows, logs and errors may have it: without its query, and with `***` for a password."""
    return split_access(_BEFORE_HOST.sub(r"\1***@", uri, count=1) if holds_password(uri) else uri)[0]


def with_access(uri: str, access: str) -> str:
    """The URI that storage is asked for: the query as it was given, as a signature may be of its very order."""
    return f"{without_query(uri)}?{access}" if access else uri


def holds_password(uri: str) -> bool:
    """Whether it has a password or a token before a host, as `https://user:secret@host/` has."""
    return _PASSWORD.match(uri) is not None or signatures.holds_password(uri)
