"""Options of a job as the clients of its storage take them, with the credentials that they refer to.

A credential stands in a job as `${env:NAME}`. It is looked up here, where a client is made, each time anew. What came
of it is known to this module, so that no error of a client can repeat it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from framegate.schemas.config.storage_options import options_for, variable_of
from framegate.schemas.errors import CredentialsError
from framegate.schemas.uris import kind_of

HIDDEN: Final = "***"
_MIN_HIDDEN_CHARACTERS: Final = 4  # a shorter one is no credential, and would be found in any text
# Names of ours for what s3fs takes somewhere inside.
_PLACES: Final = {
    "region": ("client_kwargs", "region_name"),
    "signature_version": ("config_kwargs", "signature_version"),
    "addressing_style": ("config_kwargs", "s3", "addressing_style"),
}
_looked_up: set[str] = set()


def client_options(uri: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the client of a URI's storage is made with. Raises CredentialsError, which names the variable, where one
    that is referred to is not set."""
    own = options_for(uri, options)
    found = {name: _looked_up_value(name, value) for name, value in own.items()}
    if kind_of(uri) != "s3":
        return found
    for name, (first, *inner) in _PLACES.items():
        if name in found:
            found[first] = _put(found.get(first, {}), inner, found.pop(name))
    return found


def hide_credentials(text: str) -> str:
    """The text without the credentials that were looked up in this process."""
    for value in _looked_up:
        text = text.replace(value, HIDDEN)
    return text


def _looked_up_value(name: str, value: Any) -> Any:
    variable = variable_of(value)
    if variable is None:
        return value
    found = os.environ.get(variable, "")
    if not found:
        raise CredentialsError(
            f"storage_options.{name} refers to the environment variable {variable}, which is not set in this process;"
            " set it where the run and its workers start"
        )
    if len(found) >= _MIN_HIDDEN_CHARACTERS:
        _looked_up.add(found)
    return found


def _put(options: Mapping[str, Any], names: list[str], value: Any) -> dict[str, Any]:
    """A copy of nested options with one more value in it."""
    first, *inner = names
    return {**options, first: _put(options.get(first, {}), inner, value) if inner else value}
