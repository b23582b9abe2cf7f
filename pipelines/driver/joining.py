"""A cluster that is there already is joined where it asks for a token, or where the job says that it is trusted.

Whoever reaches a Ray without token authentication can run code in its workers, with the credentials of this run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from framegate.pipelines.driver.private_ray import TOKEN_VARIABLES
from framegate.schemas.config import RayConfig
from framegate.schemas.errors import ConfigError, FramegateError

LOCAL: Final = "local"
MAX_ASK_SECONDS: Final = 60.0  # of a process that imports Ray on a busy machine
_ADDRESS: Final = re.compile(r"auto|[A-Za-z0-9_.-]+:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}")
_QUIET: Final = {"RAY_BACKEND_LOG_LEVEL": "fatal"}


def named_cluster(config: RayConfig) -> str | None:
    """The address of a running cluster, or None where one is started here."""
    named = config.address or os.environ.get("RAY_ADDRESS") or LOCAL
    return None if named == LOCAL else named


def check_cluster(config: RayConfig, *, must_answer: bool = True) -> bool:
    """Whether the cluster that the job or RAY_ADDRESS names wants a token; False where none is named, or it is trusted.

    Raises ConfigError where it talks to everybody and `ray.trust_cluster` is not said, where there is no token here,
    and where it is another one; FramegateError where nobody answers, if somebody `must_answer`.
    """
    named = named_cluster(config)
    if named is None:
        return False
    name = "ray.address" if config.address else "RAY_ADDRESS"
    if not _ADDRESS.fullmatch(named):  # the value may hold a password
        raise ConfigError(
            f"{name} names no cluster that can be joined: give host:port of its control store, auto for the one that"
            " was started on this machine last, or local to start one here; Ray Client's ray:// cannot carry a run"
        )
    if config.trust_cluster or _is_joined():
        return False
    answer, why = _ask(named, {**_without_token(), "RAY_AUTH_MODE": "disabled"})
    if answer == "open":
        raise ConfigError(
            f"the Ray cluster at {named} ({name}) asks for no token: whoever reaches it can run code there, with the"
            " credentials of this run. Start it with RAY_AUTH_MODE=token, or say ray.trust_cluster: true"
        )
    if answer == "refused":
        _check_token(named)
        return True
    if must_answer:
        raise FramegateError(f"Ray could not be reached at {named} ({name}): {why}")
    return False


def _check_token(named: str) -> None:
    """Raises ConfigError where the cluster does not take the token that is here."""
    mode = os.environ.get("RAY_AUTH_MODE", "disabled").lower()
    if mode in ("disabled", "token") and not _has_token():
        raise ConfigError(
            f"the Ray cluster at {named} asks for a token, and there is none here: set RAY_AUTH_TOKEN_PATH to the file"
            " that has it, or put it into ~/.ray/auth_token"
        )
    mode = "token" if mode == "disabled" else mode
    if _ask(named, {**os.environ, "RAY_AUTH_MODE": mode})[0] != "open":
        raise ConfigError(
            f"the Ray cluster at {named} does not take the token that is here (RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH,"
            " ~/.ray/auth_token): use that of the cluster"
        )


def _has_token() -> bool:
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token")
    try:
        return bool(Path(path).read_text(encoding="utf-8").strip())
    except (OSError, UnicodeError):
        return False


def _ask(named: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """What a process with that environment is told, and why if nobody answers."""
    program = str(Path(__file__).with_name("ask_for_token.py"))
    command = [sys.executable, program, named]
    try:
        done = subprocess.run(
            command, env={**environment, **_QUIET}, capture_output=True, text=True, timeout=MAX_ASK_SECONDS, check=True
        )
        told = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return "away", f"no answer in {MAX_ASK_SECONDS:g} s"
    except (subprocess.CalledProcessError, ValueError, IndexError):  # Ray's core ends a process by a signal
        return "away", "Ray's client broke off"
    return told["answer"], told["why"]


def _without_token() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in TOKEN_VARIABLES}


def _is_joined() -> bool:
    """Whether this process is in a cluster already."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()
