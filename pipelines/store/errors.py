"""Errors of fsspec and the clients below it: translated into ours, and told apart as transient or final.

Errors are recognised by the names of their classes and the answers they carry, so that no client is imported: a run on
local disks does not pay for an HTTP library (0.3 s).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from framegate.pipelines.store.client_options import hide_credentials
from framegate.schemas.errors import CredentialsError, ObjectNotFound, StorageError, StorageFull
from framegate.schemas.uris import public

CREDENTIAL_CODES: Final = frozenset(
    [
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidToken",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    ]
)
CREDENTIAL_CLASSES: Final = frozenset(
    [
        "CredentialRetrievalError",
        "InvalidConfigError",
        "NoAuthTokenError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "SSOError",
        "TokenRetrievalError",
    ]
)
FULL_CODES: Final = frozenset(
    ["InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"]
)
FULL_NUMBERS: Final = (errno.ENOSPC, errno.EDQUOT)
TRANSIENT_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504, 509})
TRANSIENT_CODES: Final = frozenset(
    [
        "409",
        "BadDigest",
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "XAmzContentSHA256Mismatch",
    ]
)
TRANSIENT_CLASSES: Final = frozenset(
    [
        "ClientConnectionError",
        "ClientPayloadError",
        "ConnectionError",
        "HTTPClientError",
        "IncompleteRead",
        "IncompleteReadError",
        "ResponseParserError",
        "TimeoutError",
    ]
)
"""Connections that broke, timed out or gave no proper answer; in Python, aiohttp, botocore and urllib3."""
PERMANENT_CLASSES: Final = frozenset({"SSLError", "InvalidProxiesConfigError"})


class TransientError(OSError):
    """The same request may succeed the next time, such as after an answer that was cut short."""


class Refused(OSError):
    """Storage said no, in words that need no name of an error class in front."""


class RetriesExhausted(Exception):
    """A transient error that came again until the time was up; its cause is the last one."""

    def __init__(self, num_tries: int, seconds: float) -> None:
        super().__init__(f"tried {num_tries} times in {seconds:.0f} s")


def answer_of(error: BaseException) -> tuple[str, int]:
    """Error code and HTTP status that an S3 server answered; "" and 0 where the error is no answer of one."""
    for candidate in (error, error.__cause__):
        response = getattr(candidate, "response", None)
        if isinstance(response, dict) and "Error" in response:
            code = str(response["Error"].get("Code", ""))
            return code, int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return "", 0


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a little later: the server is busy, or the connection broke."""
    code, status = answer_of(error)
    if code or status:
        if code in CREDENTIAL_CODES or code in FULL_CODES:
            return False
        return status in TRANSIENT_STATUSES or code in TRANSIENT_CODES
    names = _class_names(error)
    return isinstance(error, TransientError) or (bool(TRANSIENT_CLASSES & names) and not PERMANENT_CLASSES & names)


@contextmanager
def translate_errors(verb: str, uri: str) -> Iterator[None]:
    """Turns whatever fsspec and the clients below it raise into a StorageError of one sentence.

    The query of an http URL is left out of it.
    """
    uri = public(uri)
    try:
        yield
    except StorageError:
        raise
    except RetriesExhausted as error:
        cause = error.__cause__ or error
        raise StorageError(f"cannot {verb} {uri}: {error}, the last time: {_words(cause)}") from error
    except Exception as error:
        raise _translated(error, f"cannot {verb} {uri}") from error


def _translated(error: Exception, what: str) -> StorageError:
    code, status = answer_of(error)
    if code in CREDENTIAL_CODES or CREDENTIAL_CLASSES & _class_names(error):
        mend = "set this machine's clock" if code == "RequestTimeTooSkewed" else "renew them"
        return CredentialsError(
            f"{what}: storage does not accept the credentials ({_words(error)});"
            f" {mend} and run again; everything committed is kept"
        )
    if code in FULL_CODES or status == 507 or getattr(error, "errno", None) in FULL_NUMBERS:
        return StorageFull(f"{what}: there is no room left ({_words(error)}); make room and run again")
    if isinstance(error, FileNotFoundError):
        return ObjectNotFound(f"{what}: it, or the bucket or folder it belongs to, does not exist")
    if isinstance(error, PermissionError):
        return StorageError(f"{what}: permission denied ({_words(error)}); check what the credentials allow")
    return StorageError(f"{what}: {_words(error)}")


def _words(error: BaseException) -> str:
    """What a client said, without credentials: some repeat what they were given."""
    code, status = answer_of(error)
    text = hide_credentials(str(error))
    if code or status:
        return f"{code or 'no code'}, HTTP status {status}: {text}"
    return text if type(error) in (TransientError, Refused) else f"{type(error).__name__}: {text}"


def _class_names(error: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(error).__mro__}
