"""What the sandbox promises of a decoder, and which mechanisms keep it on this machine.

The promise: a decoder reaches no file, no network and no environment, its parent's among them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from framegate.schemas.errors import SandboxError

MECHANISMS: Final[dict[str, str]] = {
    "life_pipe": "the process ends when its parent does",
    "rlimits": "bounds on memory, open files and CPU time; no core dump, no file of its own",
    "namespaces": "an empty root, no network, and a user without rights outside",
    "no_new_privileges": "no program that it starts gains rights",
    "landlock": "no file can be opened or made",
    "no_capabilities": "what root may do beside reading and writing, it may not",
    "seccomp": "a list of system calls: none opens a file, makes a socket, starts a program or looks into a process",
}
"""By name, in the order in which they come into force, what each does."""

# Keeps the promise alone. The others together do not: a socket to the host of a virtual machine (AF_VSOCK) can be made
# in any network namespace, and Landlock knows TCP alone.
_KEEPER: Final = "seccomp"


class Confinement(NamedTuple):
    """What a decoder's process has found in its machine.

    in_force   names of MECHANISMS
    missing    the others, by name: why
    """

    in_force: tuple[str, ...]
    missing: Mapping[str, str]


def check_promise(confinement: Confinement) -> None:
    """Raises SandboxError, one sentence, where the machine cannot keep the promise."""
    if _KEEPER in confinement.in_force:
        return
    raise SandboxError(
        "decoders cannot be confined on this machine so that they reach no file, no network and no environment: "
        f"{_KEEPER} is not to be had ({confinement.missing.get(_KEEPER, 'unknown')}); run where containers may use "
        "seccomp filters, or set decode.sandbox: weak to decode videos that you trust behind what there is: "
        f"{describe(confinement.in_force)}"
    )


def describe(in_force: Collection[str]) -> str:
    """Such as "seccomp, rlimits (not: landlock)"."""
    absent = [name for name in MECHANISMS if name not in in_force]
    said = ", ".join(name for name in MECHANISMS if name in in_force) or "none"
    return f"{said} (not: {', '.join(absent)})" if absent else said
