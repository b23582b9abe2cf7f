"""Which names of a manifest or a list are looked up at all. What is refused becomes a row, and no client hears of it.

A manifest may come from somebody else than the job: a name in it can mean any address that this machine reaches, and
any file that it reads.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from framegate.pipelines.store import Store
from framegate.schemas.clip import Refusal
from framegate.schemas.config.input import USUAL_PROTOCOLS, InputConfig
from framegate.schemas.errors import InputError
from framegate.schemas.escape import escape
from framegate.schemas.signatures import holds_signature
from framegate.schemas.uris import claimed_protocol, holds_password, kind_of, protocol_of, split_access


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """
    kinds   of storage that names may lie in (`schemas.uris.KINDS`)
    beside  the manifest's own folder, where names may lie as well; empty: nowhere
    roots   real folders that local files lie below, wherever links lead; none: anywhere
    """

    kinds: frozenset[str]
    beside: str = ""
    roots: tuple[str, ...] = field(default=())

    @staticmethod
    def of(config: InputConfig, manifest: str | None = None) -> Allowed:
        """What a job allows. `manifest` is the URI of the manifest that names come from, if they do: what lies beside
        it may be read as it is, unless the job says by which protocols."""
        kinds, beside = config.kinds, ""
        if manifest is not None and config.protocols is None:
            kinds = frozenset(USUAL_PROTOCOLS)
            beside = split_access(manifest)[0].rpartition("/")[0] + "/" if "://" in manifest else ""
        roots = tuple(os.path.realpath(root) for root in config.roots or ())
        return Allowed(kinds=kinds, beside=beside, roots=roots)

    def refusal(self, name: str) -> Refusal | None:
        """Why a name is not looked up; None where it is."""
        if why := describe_secret(name):
            return Refusal(reason="secret_in_uri", message=f"Its URI holds {why}.")
        claimed = claimed_protocol(name)
        is_beside = bool(self.beside) and name.startswith(self.beside)
        if claimed != protocol_of(name) or not (is_beside or kind_of(name) in self.kinds):
            known = ", ".join(sorted(self.kinds))
            return Refusal(
                reason="protocol_refused",
                message=escape(f"{claimed[:40]}:// is none of the protocols that this job reads videos by ({known});"
                               " input.protocols says which these are."),
            )  # fmt: skip
        return self.outside(name)

    def outside(self, name: str) -> Refusal | None:
        """The refusal of a local file that lies below no root."""
        if not self.roots or protocol_of(name) not in ("file", "local"):
            return None
        path = None if "\0" in name else Store.real_path(name)
        if path is not None and any(path == root or path.startswith(root.rstrip("/") + "/") for root in self.roots):
            return None
        return Refusal(
            reason="outside_roots",
            message="The file, or what it is a link to, lies below none of the folders of input.roots.",
        )


def refuse_secret(name: str) -> None:
    """Raises InputError, which does not repeat it, where a name of the job itself holds a secret."""
    if why := describe_secret(name):
        raise InputError(f"a {protocol_of(name)}:// name of the input holds {why}")


def describe_secret(name: str) -> str:
    """What a name holds that no row may have, and what to do: a user or a password before its host, or a signature
    elsewhere than in the query of a web address. Empty where it holds none."""
    bare = split_access(name)[0]
    if holds_password(bare):
        return "a password or a user; take it out, and give credentials through the environment"
    if holds_signature(bare):
        return (
            "a signature or a token that is no query of an https:// address; take it out, and give credentials through"
            " the environment, or the signed URL as it was made"
        )
    return ""
