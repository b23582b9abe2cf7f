"""Options of storage that a job may give: a list for each kind of storage, and a second one for credentials.

What is on neither list is refused. So a credential is refused by any spelling, as it is on no list of options. Where a
credential has to be named, the job refers to a variable of the environment: `secret: ${env:ARCHIVE_SECRET}`. The
reference goes wherever the job's values go. The value is read by the process that connects (`pipelines.store.options`),
and goes nowhere else. No error repeats the value of an option.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from framegate.schemas.uris import kind_of

_BOOLEAN: Final = "true or false"
_NUMBER: Final = "a number from 0 to 3600"
_ENDPOINT: Final = "an address such as https://s3.example:9000, without user, password or query"
_WORD: Final = "a name of letters, digits and . _ - : / up to 200 characters"
_FORMS: Final = {
    _ENDPOINT: re.compile(r"https?://[A-Za-z0-9.\-_\[\]:]+(?:/[A-Za-z0-9._~/-]*)?"),
    _WORD: re.compile(r"[A-Za-z0-9._:/ -]{1,200}"),
}

OPTIONS: Final[dict[str, dict[str, str]]] = {
    "s3": {
        "anon": _BOOLEAN,
        "endpoint_url": _ENDPOINT,
        "region": _WORD,
        "addressing_style": _WORD,
        "signature_version": _WORD,
        "requester_pays": _BOOLEAN,
        "use_ssl": _BOOLEAN,
        "profile": _WORD,
        "client_kwargs.region_name": _WORD,
        "client_kwargs.endpoint_url": _ENDPOINT,
        "client_kwargs.use_ssl": _BOOLEAN,
        "client_kwargs.verify": f"{_BOOLEAN}, or {_WORD}",
        "config_kwargs.signature_version": _WORD,
        "config_kwargs.connect_timeout": _NUMBER,
        "config_kwargs.read_timeout": _NUMBER,
        "config_kwargs.tcp_keepalive": _BOOLEAN,
        "config_kwargs.use_dualstack_endpoint": _BOOLEAN,
        "config_kwargs.use_fips_endpoint": _BOOLEAN,
        "config_kwargs.request_checksum_calculation": _WORD,
        "config_kwargs.response_checksum_validation": _WORD,
        "config_kwargs.s3.addressing_style": _WORD,
        "config_kwargs.s3.payload_signing_enabled": _BOOLEAN,
        "config_kwargs.s3.use_accelerate_endpoint": _BOOLEAN,
        "config_kwargs.s3.us_east_1_regional_endpoint": _WORD,
        "s3_additional_kwargs.ServerSideEncryption": _WORD,
        "s3_additional_kwargs.SSEKMSKeyId": _WORD,
        "s3_additional_kwargs.BucketKeyEnabled": _BOOLEAN,
        "s3_additional_kwargs.StorageClass": _WORD,
        "s3_additional_kwargs.ACL": _WORD,
    },
    "gs": {
        "project": _WORD,
        "access": _WORD,
        "endpoint_url": _ENDPOINT,
        "requester_pays": f"{_BOOLEAN}, or {_WORD}",
        "timeout": _NUMBER,
    },
    "az": {
        "account_name": _WORD,
        "account_host": _WORD,
        "anon": _BOOLEAN,
        "location_mode": _WORD,
        "tenant_id": _WORD,
        "client_id": _WORD,
        "connection_timeout": _NUMBER,
        "read_timeout": _NUMBER,
    },
}
"""By kind of storage, the options that a job may give and what each of them takes. A dot leads into a mapping. Kinds
that are not here, files and web addresses among them, take none."""

CREDENTIALS: Final[dict[str, tuple[str, ...]]] = {
    "s3": ("key", "secret", "token"),
    "gs": ("token",),
    "az": ("account_key", "connection_string", "credential", "sas_token", "client_secret"),
}
"""By kind of storage, the credentials that a job may refer to."""

GS_WORDS: Final = frozenset({"anon", "google_default", "cloud"})
"""What `token` of gs:// may be beside a reference: where gcsfs is to look, and no token."""

_REFERENCE: Final = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]{0,127})\}")
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


def variable_of(value: object) -> str | None:
    """The variable of the environment that a value refers to, if it is such a reference and nothing else."""
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return match[1] if match else None


def check_options(options: Mapping[str, Any], kinds: Collection[str]) -> None:
    """Raises ValueError, a sentence that repeats no value, for the first option that storage of such kinds does not
    take. `kinds` are names as `kind_of` gives them."""
    taken = {name: form for kind in sorted(kinds) for name, form in OPTIONS.get(kind, {}).items()}
    credentials = {name for kind in kinds for name in CREDENTIALS.get(kind, ())}
    for path, value in _flat(options, ""):
        if path in credentials:
            if variable_of(value) is None and not (path == "token" and "gs" in kinds and value in GS_WORDS):
                raise ValueError(
                    f"{path} is a credential, and a job is no place for one: leave it out, and give it through the"
                    " environment (such as AWS_ACCESS_KEY_ID) or the machine's role, or name a variable that holds it:"
                    f" {path}: ${{env:NAME}}"
                )
        elif path not in taken:
            raise ValueError(_unknown(path, taken, credentials, kinds))
        elif isinstance(value, str) and "${" in value:
            raise ValueError(f"{path} is no credential, and these alone may name a variable of the environment"
                             f" ({', '.join(sorted(credentials)) or 'none here'}); write its value out")  # fmt: skip
        elif not _fits(value, taken[path]):
            raise ValueError(f"{path} takes {taken[path]}")


def options_for(uri: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of options that are meant for the kind of storage of a URI: what is on the list of another kind alone is
    left out, since a manifest may name several kinds."""
    kind = kind_of(uri)
    own = _names(kind)
    others = {name for other in OPTIONS if other != kind for name in _names(other)} - own
    return {name: value for name, value in options.items() if name not in others}


def _names(kind: str) -> set[str]:
    return {name.partition(".")[0] for name in (*OPTIONS.get(kind, {}), *CREDENTIALS.get(kind, ()))}


def _flat(options: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, value in options.items():
        if "." in str(key):  # it would pass for one in a mapping, and reach the client under a name that it ignores
            raise ValueError("a key has a dot in it: write what stands behind the dot as a key of a mapping, such as"
                             " client_kwargs: {region_name: eu-central-1}")  # fmt: skip
        inner = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) and value:
            yield from _flat(value, inner)
        else:
            yield inner, value


def _fits(value: Any, form: str) -> bool:
    for one in form.split(", or "):
        if one == _BOOLEAN and isinstance(value, bool):
            return True
        if one == _NUMBER and isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 3600:
            return True
        if one in _FORMS and isinstance(value, str) and _FORMS[one].fullmatch(value):
            return True
    return False


def _unknown(path: str, taken: Mapping[str, str], credentials: Collection[str], kinds: Collection[str]) -> str:
    shown = path if _KEY.fullmatch(path) else "a key that is no name"
    if not taken and not credentials:
        return (
            f"{shown} is no option that {_listed(kinds)} takes: such storage has none, and credentials come from the"
            " environment; leave storage_options out"
        )
    found = _nearest(path.lower(), {name.lower(): name for name in (*credentials, *taken)}, credentials)
    if found in credentials:
        hint = f"did you mean {found}: ${{env:NAME}}, which names a variable of the environment?"
    else:
        hint = f"did you mean {found}?" if found else f"known: {', '.join(sorted(taken))}"
    return f"{shown} is no option that {_listed(kinds)} takes, and credentials come from the environment; {hint}"


def _nearest(path: str, known: Mapping[str, str], credentials: Collection[str]) -> str | None:
    """The option that was probably meant; `aws_secret_access_key` holds a credential's name and little else."""
    tail = path.rpartition(".")[2]
    letters = "".join(filter(str.isalnum, tail))
    inside = [name for name in sorted(credentials, key=len, reverse=True) if name.replace("_", "") in letters]
    for near in (
        difflib.get_close_matches(path, known, n=1, cutoff=0.85),
        inside,
        difflib.get_close_matches(path, known, n=1, cutoff=0.6),
        difflib.get_close_matches(tail, known, n=1, cutoff=0.5),
    ):
        if near:
            return known[near[0]]
    return None


def _listed(kinds: Collection[str]) -> str:
    return " or ".join("a local file" if kind == "file" else f"{kind}://" for kind in sorted(kinds))
