"""How a job names a calibration of its output."""

from __future__ import annotations

import re
from typing import Final

from framegate.schemas.certificate import CALIBRATION_ID

LATEST: Final = "latest"


def check_names_one(text: str) -> str:
    """The text. Raises ValueError where it names none."""
    if text != LATEST and not re.fullmatch(CALIBRATION_ID, text):
        raise ValueError(
            f"'{text}' is neither `{LATEST}` nor the id of a calibration, as 20261130T081500123456Z-0a1b2c"
        )
    return text
