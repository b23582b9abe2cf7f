"""`report.link` leads to a player, and to nothing that a browser would run."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from framegate.schemas.config import ReportConfig


@pytest.mark.parametrize("link", ["https://player.example/?video={uri}&t={seconds}", "http://10.0.0.7/{uri}"])
def test_an_address_with_the_video_in_it_is_a_link(link: str) -> None:
    assert ReportConfig(link=link).link == link


@pytest.mark.parametrize(
    "link",
    ["javascript:alert({uri})", "data:text/html,{uri}", "player.example/{uri}", "https://player.example/", "{uri}", ""],
)
def test_anything_else_is_refused_with_what_is_allowed(link: str) -> None:
    with pytest.raises(ValidationError, match=r"is no link to a player; give an address that begins with https://"):
        ReportConfig(link=link)


@pytest.mark.parametrize("key", ["onend", "on_End", "camera"])
def test_an_unknown_key_is_an_error(key: str) -> None:
    with pytest.raises(ValidationError, match=f"unknown key '{key}'"):
        ReportConfig(**{key: True})
