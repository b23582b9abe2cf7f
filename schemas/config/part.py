"""Part: the base of each part of a job's configuration. Parts are frozen, and an unknown key is an error."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


class Part(BaseModel):
    """A mapping in the job file."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

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
