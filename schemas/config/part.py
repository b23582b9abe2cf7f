"""Part: the base of each part of a job's configuration. Parts are frozen, and an unknown key is an error."""

from __future__ import annotations

import difflib
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from framegate.schemas.errors import ConfigError


class Part(BaseModel):
    """A mapping in the job file."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    @classmethod
    def made(cls, **values: Any) -> Self:
        """One that comes from no job file. Raises ConfigError, one sentence, where it would be refused in one."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigError(error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")) from None

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    nearest = difflib.get_close_matches(str(key), cls.model_fields, n=1, cutoff=0.5)
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key '{key}'; {hint}",
                        {
                            "key": str(key),
                            "nearest": nearest[0] if nearest else "",
                            "hint": f"did you mean '{nearest[0]}'?" if nearest else f"known: {_names(cls)}",
                        },
                    )
        return values


def _names(part: type[BaseModel]) -> str:
    return ", ".join(part.model_fields)
