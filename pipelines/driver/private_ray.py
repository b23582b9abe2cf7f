"""A Ray that is started here belongs to the user who started it: its folder, its token, and loopback alone.

Whoever reaches a Ray can have it run code. Ray 2.60 makes its folders writable for everybody on the machine, and keeps
one token for all clusters of a user in a file that others may read.
"""

from __future__ import annotations

import importlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any, Final

from framegate.pipelines.driver.replaced import is_known_ray
from framegate.schemas.errors import FramegateError

LOOPBACK: Final = "127.0.0.1"
TOKEN_VARIABLES: Final = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")

_before: dict[str, str | None] = {}


def make_private_folder() -> Path:
    """A new folder for one Ray, below RAY_TMPDIR or the folder for temporary files, that its owner alone can enter.

    Ray gets a folder inside of it, as it opens its own to everybody. Raises FramegateError.
    """
    base = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    try:
        base.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="ray-", dir=base))
    except OSError as error:
        raise FramegateError(
            f"no folder for Ray can be made below {base} ({error.strerror}); set RAY_TMPDIR to a short folder in which"
            " there is room, and run again"
        ) from error


def take_new_token() -> None:
    """From now on Ray asks for a token, which is new and stands in the environment of this process alone.

    Ray's processes inherit it. What was in the environment before comes back with `give_token_back`.
    """
    if not _before:
        _before.update({name: os.environ.get(name) for name in TOKEN_VARIABLES})
    os.environ.pop("RAY_AUTH_TOKEN_PATH", None)
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    use_token()


def give_token_back() -> None:
    """The token of a Ray that has ended is gone; what stood in its place is back."""
    for name, value in _before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    _before.clear()
    _read_anew()


def use_token() -> None:
    """Ray in this process shows the token that the environment, or the user's home, holds."""
    if os.environ.get("RAY_AUTH_MODE", "disabled").lower() == "disabled" or _before:
        os.environ["RAY_AUTH_MODE"] = "token"
    _read_anew()


def _read_anew() -> None:
    """Ray reads mode and token once."""
    if is_known_ray():
        raylet: Any = importlib.import_module("ray._raylet")  # a compiled module whose stub lacks these two
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()
