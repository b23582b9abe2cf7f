"""Signatures, tokens and passwords inside URLs that stand in a text: they are taken out before it is stored or printed.

What the input names is cut apart by `schemas.uris`. Here are the URLs that come along in other texts: the message of an
error, a line of a log, a value of a manifest.
"""

from __future__ import annotations

import re
from typing import Final

# A parameter is a secret where one of the words of its name is: X-Amz-Security-Token, access_token, Key-Pair-Id, sig.
_SECRET_WORDS: Final = frozenset(
    [
        "accesskey", "accesskeyid", "apikey", "auth", "authorization", "authtoken", "awsaccesskeyid", "credential",
        "credentials", "googleaccessid", "hdnea", "hdntl", "hdnts", "hmac", "jwt", "key", "ossaccesskeyid",
        "passphrase", "passwd", "password", "policy", "pwd", "sas", "secret", "sig", "signature", "token",
    ]
)  # fmt: skip

# What stands beside a signature and means nothing without it: how long it holds, and of Azure what it allows.
_COMPANION: Final = re.compile(
    r"x-(?:amz|goog|oss|cos|obs|ms)-.*|expires?|algorithm|s[eprvs]|st|spr|sip|srt|sdd|sk(?:e|s|t|v|oid|tid)|saoid|suoid"
    r"|scid|q-.*",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# In JSON a slash may have backslashes before it, and & and = may be written by their numbers.
_MARK: Final = re.compile(r":\\*/\\*/")
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]{0,30}:\\*/\\*/[^\s'\"<>`|^]*", re.IGNORECASE)
_AND: Final = re.compile(r"(&amp;|\\+u0026|[&;])")
_IS: Final = re.compile(r"=|\\+u003d")
_TRAILING: Final = ".,;:!)]}\\"

# `user:password@`, and `user@` of a web address; not the container of `abfs://container@account`. A password may hold a
# slash: what follows the colon is then no port, and an @ comes later.
_PASSWORD: Final = re.compile(
    r"https?:\\*/\\*/[^/?#@\s]*@|:\\*/\\*/(?:[^/?#@\s]*:[^/?#@\s]*@|[^/?#@:\[\s]*:(?!\d*(?:[/?#\s]|$))[^@\s]{0,200}@)",
    re.IGNORECASE,
)

# Beside any URL, or in one whose characters are encoded: a name that can mean nothing else, and its value.
_PAIR: Final = re.compile(
    r"(?:\b|(?<=%3f)|(?<=%26)|(?<=%253f)|(?<=%2526)|(?<=u0026))"
    r"(x-(?:amz|goog|oss|cos|obs)-(?:signature|credential|security-token)|awsaccesskeyid|ossaccesskeyid|googleaccessid"
    r"|signature|sig|(?:access|id|refresh|auth|security)[-_]?token|token|client[-_]secret|api[-_]?key|key-pair-id"
    r"|password|passwd)(=|%3d|%253d|\\+u003d)(?!\.\.\.)(?:(?!%26|%2526)[^\s&'\"<>`;,)\\])+",
    re.IGNORECASE,
)
_LONG: Final = 20  # characters of a value in a message that may be a secret, whatever it is called


def is_secret_name(name: str) -> bool:
    """Whether the parameter of a query is one that opens something."""
    return any(word.lower() in _SECRET_WORDS for word in _WORD.findall(name)) or name.lower() in _SECRET_WORDS


def holds_password(uri: str) -> bool:
    """Whether it has a password or a token before a host, as `https://user:secret@host/` has; wherever in it."""
    return "@" in uri and _PASSWORD.search(uri) is not None


def holds_signature(text: str) -> bool:
    """Whether a query in it has a signature or a token, plain or with its characters encoded."""
    if _MARK.search(text) is None:
        return False
    return _PAIR.search(text) is not None or any(_has_secret(url[0].partition("?")[2]) for url in _URL.finditer(text))


def hide(text: str) -> str:
    """A message without what its URLs keep secret: `https://host/a.mp4?...`, `https://***@host/`.

    A query goes as a whole where a parameter of it is a secret, or long enough to be one.
    """
    if _MARK.search(text):
        text = _URL.sub(lambda url: _hide_in(url[0]), text)
    return _PAIR.sub(r"\1\2...", text) if "=" in text or "%3" in text else text


def strip(value: str) -> str:
    """A value, such as that of a manifest, whose URLs have neither signature nor password; all else in it stays."""
    return _URL.sub(lambda url: _strip_from(url[0]), value) if _MARK.search(value) else value


def _hide_in(url: str) -> str:
    url, tail = _without_tail(_without_password(url, "***@"))
    base, mark, query = url.partition("?")
    if mark and (_has_secret(query) or any(len(_value_of(pair)) >= _LONG for pair in _AND.split(query))):
        return f"{base}?...{tail}"
    return url + tail


def _strip_from(url: str) -> str:
    url = _without_password(url, "")
    base, _, rest = url.partition("?")
    query, mark, fragment = rest.partition("#")
    if not _has_secret(query):
        return url
    parts = ["&", *_AND.split(query)]  # each pair behind what divides it from the one before
    pairs = [(parts[n], parts[n + 1]) for n in range(0, len(parts), 2)]
    kept = [(divider, pair) for divider, pair in pairs if not _is_left_out(_name_of(pair))]
    left = "".join(divider + pair for divider, pair in kept)[len(kept[0][0]) if kept else 0 :]
    return base + (f"?{left}" if left else "") + mark + fragment


def _without_password(url: str, instead: str) -> str:
    if "@" not in url:
        return url
    return _PASSWORD.sub(lambda found: found[0][: found[0].index("/", found[0].index("/") + 1) + 1] + instead, url)


def _without_tail(url: str) -> tuple[str, str]:
    """What ends the sentence is no part of the URL."""
    bare = url.rstrip(_TRAILING)
    return bare, url[len(bare) :]


def _has_secret(query: str) -> bool:
    pairs = _AND.split(query.replace("?", "&").replace("#", "&"))
    return any(_IS.search(pair) is not None and is_secret_name(_name_of(pair)) for pair in pairs)


def _name_of(pair: str) -> str:
    return _IS.split(pair, 1)[0]


def _value_of(pair: str) -> str:
    return "".join(_IS.split(pair, 1)[1:])


def _is_left_out(name: str) -> bool:
    return is_secret_name(name) or _COMPANION.fullmatch(name) is not None
