"""Ed25519 signatures of what an audit trusts: made with a key that writers of the output do not have.

`signatures/<n>.json.gz` holds the text that was signed, the signature and the public key. Keys are PEM files, as
OpenSSL makes them. Signing needs the package `cryptography` (the extra `sign`).
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from framegate.pipelines.commit.output import Output
from framegate.pipelines.store import join
from framegate.schemas.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_KEY_BYTES: Final = 10_000
MAX_STATEMENT_BYTES: Final = 2**30  # unpacked; some million labels
_PREFIX: Final = b"framegate signature 1\n"
"""Before what is signed, so that no signature that the key gives elsewhere can be taken for one of an output."""

_MISSING: Final = "signing needs the package cryptography: pip install 'framegate[sign]'"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One object below signatures/. `statement` is the text that was signed."""

    number: int
    statement: str
    signature: bytes
    public_key: bytes


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Raises ConfigError where it is no Ed25519 private key, or has a passphrase."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise ConfigError(_MISSING) from error
    key = _load(path, lambda data: load_pem_private_key(data, password=None), "private key")
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} holds a key of another kind; make one with: openssl genpkey -algorithm ed25519")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Raises ConfigError where it is no Ed25519 public key."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise ConfigError(_MISSING) from error
    key = _load(path, load_pem_public_key, "public key")
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path} holds a key of another kind; take what openssl pkey -pubout gives of an Ed25519 key")
    return key


def put_signature(output: Output, key: Ed25519PrivateKey, number: int, statement: str) -> str:
    """Signs a text and stores both; gives back where. Raises StorageError, also where the number is taken."""
    document = {
        "statement": statement,
        "signature": key.sign(_PREFIX + statement.encode()).hex(),
        "public_key": key.public_key().public_bytes_raw().hex(),
    }
    uri = output.layout.signature(number)
    data = gzip.compress(json.dumps(document, sort_keys=True).encode(), mtime=0)
    if not output.store.put_once(uri, data).is_ours:
        raise StorageError(f"{uri} was put by another process meanwhile: sign again")
    return uri


def read_signature(uri: str, data: bytes) -> Signature:
    """Raises StorageError where it is none."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            text = packed.read(MAX_STATEMENT_BYTES + 1)
        if len(text) > MAX_STATEMENT_BYTES:
            raise ValueError(f"it unpacks to more than {MAX_STATEMENT_BYTES:,} bytes")
        document: dict[str, Any] = json.loads(text)
        return Signature(
            number=int(uri.rpartition("/")[2].partition(".")[0]),
            statement=str(document["statement"]),
            signature=bytes.fromhex(document["signature"]),
            public_key=bytes.fromhex(document["public_key"]),
        )
    except (OSError, EOFError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{uri} is no signature ({error!r})") from error


def is_signed_by(signature: Signature, key: Ed25519PublicKey) -> bool:
    """Whether the statement is what the owner of the key signed."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature.signature, _PREFIX + signature.statement.encode())
    except InvalidSignature:
        return False
    return True


def list_signatures(output: Output) -> list[str]:
    """The URIs of all signatures, in order of their numbers."""
    return sorted(info.uri for info in output.store.list(join(output.root, "signatures")))


def _load(path: Path, parse: Callable[[bytes], Any], what: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        with path.open("rb") as file:
            return parse(file.read(MAX_KEY_BYTES))
    except OSError as error:
        raise ConfigError(f"cannot read the {what} {path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} is no {what} in PEM, without a passphrase") from error
