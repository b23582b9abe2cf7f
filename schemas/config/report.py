"""ReportConfig: the report of a night."""

from __future__ import annotations

from pydantic import Field, field_validator

from framegate.schemas.config.part import Part


class ReportConfig(Part):
    """The report of a night (`framegate report`). Changes no answer."""

    on_end: bool = Field(
        default=False, description="a run writes one as it ends, into `reports/` of the output; one that fails is a"
        " warning and changes no exit code"
    )  # fmt: skip
    by: str | None = Field(
        default=None,
        min_length=1,
        description="the manifest's column that tells cameras apart, without `input_`; without it `camera`, where the"
        " manifest has that, else the folder of a video",
    )
    link: str | None = Field(
        default=None,
        description="opens a video at a second in a player of yours: a web address with {uri} and {seconds} in it, such"
        " as https://player.example/?video={uri}&t={seconds}",
    )

    @field_validator("link")
    @classmethod
    def _link_is_an_address(cls, link: str | None) -> str | None:
        """A browser would run what stands behind `javascript:`."""
        if link is not None and not (link.startswith(("https://", "http://")) and "{uri}" in link):
            raise ValueError(
                f"'{link}' is no link to a player; give an address that begins with https:// or http:// and has {{uri}}"
                " in it, and {seconds} where the player starts at a second"
            )
        return link
