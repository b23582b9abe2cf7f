"""What fsspec and the clients below it raise, as one sentence of ours; and which of it passes by waiting.

Looks at the names of classes and at the answers they carry, and imports no client: whoever stays on local disks does
not pay for an HTTP library (0.3 s).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from framegate.schemas.errors import CredentialsError, ObjectNotFound, StorageError, StorageFull

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
PASSING_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504, 509})
PASSING_CODES: Final = frozenset(
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
PASSING_CLASSES: Final = frozenset(
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
"""Lines that broke, timed out or said something that is no answer; in Python, aiohttp, botocore and urllib3."""
LASTING_CLASSES: Final = frozenset({"SSLError", "InvalidProxiesConfigError"})


class Passing(OSError):
    """Something that may be another way the next time, such as an answer that was cut short."""


class OutOfPatience(Exception):
    """What should have passed did not; its cause is the last of it."""

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


def is_passing(error: BaseException) -> bool:
    """Whether the same request may well succeed a little later: the server is busy, or the line broke."""
    code, status = answer_of(error)
    if code or status:
        if code in CREDENTIAL_CODES or code in FULL_CODES:
            return False
        return status in PASSING_STATUSES or code in PASSING_CODES
    names = _class_names(error)
    return isinstance(error, Passing) or (bool(PASSING_CLASSES & names) and not LASTING_CLASSES & names)


@contextmanager
def sentence(verb: str, uri: str) -> Iterator[None]:
    """Turns what fsspec and the clients below it raise into one sentence."""
    try:
        yield
    except StorageError:
        raise
    except OutOfPatience as error:
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
    code, status = answer_of(error)
    if code or status:
        return f"{code or 'no code'}, HTTP status {status}: {error}"
    return str(error) if type(error) is Passing else f"{type(error).__name__}: {error}"


def _class_names(error: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(error).__mro__}
