"""The reference of keys is read off the schema: none is missing, and none goes without saying what it means."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, Field

from framegate.schemas.config import RunConfig
from framegate.schemas.config.part import Part
from framegate.schemas.config.reference import Key, list_keys


def keys_of(config: type[BaseModel]) -> dict[str, Key]:
    return {key.name: key for group in list_keys(config) for key in group.keys}


class Fast(Part):
    kind: Literal["fast"] = Field(default="fast", description="at once")
    limit: float = Field(default=0.5, ge=0, le=1, description="of the fast one")
    burst: int | None = Field(default=None, ge=2, description="of the fast one alone")


class Slow(Part):
    kind: Literal["slow"] = Field(default="slow", description="later")
    limit: float = Field(default=0.5, ge=0, le=1, description="of the slow one")
    pause_seconds: int | None = Field(default=None, gt=0, description="between two")


class Inner(Part):
    size: int = Field(default=2**27, ge=1, description="of it")


class Outer(Part):
    """What stands around it.

    And more that a table need not say.
    """

    inner: Inner = Field(default=Inner(size=7), description="in it")
    names: str | tuple[str, ...] = Field(description="one or several")
    options: dict[str, str] = Field(default={}, description="more")
    sure: bool = Field(default=False, description="or not")


class Whole(Part):
    outer: Outer
    pace: Fast | Slow = Field(default=Slow(), discriminator="kind")
    title: str = Field(min_length=1, description="a word")


def test_each_key_says_type_default_and_bounds() -> None:
    keys = keys_of(Whole)
    assert keys["outer.inner.size"] == Key(
        name="outer.inner.size", type="whole number", default="7", allowed="at least 1", meaning="of it"
    )
    assert (keys["outer.names"].type, keys["outer.names"].default) == ("text or list of texts", "required")
    assert (keys["outer.options"].type, keys["outer.options"].default) == ("mapping", "{}")
    assert (keys["outer.sure"].type, keys["outer.sure"].default) == ("true or false", "false")
    assert keys["title"] == Key(name="title", type="text", default="required", allowed="not empty", meaning="a word")
    [about, *_] = [group.about for group in list_keys(Whole)]
    assert about == "What stands around it."


def test_parts_in_each_others_place_are_one_list_of_keys_that_says_whose_a_meaning_is() -> None:
    keys = keys_of(Whole)
    assert (keys["pace.kind"].allowed, keys["pace.kind"].default) == ("`fast`, `slow`", "slow")
    assert keys["pace.limit"].meaning == "`fast`: of the fast one; `slow`: of the slow one"
    assert keys["pace.limit"].allowed == "0 to 1"
    assert (keys["pace.pause_seconds"].default, keys["pace.pause_seconds"].allowed) == ("none", "above 0")
    assert (keys["pace.burst"].default, keys["pace.burst"].allowed) == ("none", "at least 2")  # not of the default part


def test_a_key_without_a_description_is_an_error_that_names_it() -> None:
    class Silent(Part):
        inner: int = 1

    with pytest.raises(ValueError, match=r"Silent\.inner has no description"):
        list_keys(Silent)


def test_every_key_of_a_job_is_listed_once() -> None:
    groups = list_keys()
    names = [key.name for group in groups for key in group.keys]
    assert [group.name for group in groups] == list(RunConfig.model_fields)
    assert len(names) == len(set(names))
    assert {"questions", "gate.threshold", "ray.reason_actors.min", "frames.decoder"} <= set(names)
