"""PromptConfig: the system turn that stands before every question."""

from __future__ import annotations

from pydantic import Field, model_validator

from framegate.schemas.config.part import Part


class PromptConfig(Part):
    """The system turn. Give the text or a file that holds it; without either, the built-in wording is used."""

    system: str | None = Field(default=None, description="the text itself")
    system_file: str | None = Field(default=None, description="a text file, relative to the job file")

    @model_validator(mode="after")
    def _text_or_file(self) -> PromptConfig:
        if self.system is not None and self.system_file is not None:
            raise ValueError("give system or system_file, not both")
        return self
