"""Calibrations of an output: objects `calibrations/config_id=<id>/<calibration_id>.json`, created once, never changed.

They hold counts and thresholds by question, and nothing of any video. Ids sort by time.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final

from framegate.pipelines.commit.output import Output
from framegate.pipelines.store.parquet import NOT_OURS
from framegate.schemas.certificate import CALIBRATION_ID, Calibration
from framegate.schemas.errors import StorageError
from framegate.schemas.json_object import load_json

NAME: Final = rf"config_id=[0-9a-f]{{16}}/{CALIBRATION_ID}\.json"


def make_calibration_id(at: datetime) -> str:
    """A new id. `at` is in UTC."""
    return f"{at:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(3)}"


def put_calibration(output: Output, calibration: Calibration) -> str:
    """Stores it; gives back where. Raises StorageError."""
    uri = output.layout.calibration(calibration.config_id, calibration.calibration_id)
    text = json.dumps(calibration.to_document(), ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    output.store.put_once(uri, text.encode())
    return uri


def read_calibrations(
    output: Output, config_id: str | None = None, *, on_damaged: Callable[[StorageError], None] | None = None
) -> list[Calibration]:
    """The oldest first; of all config_ids, or of one. Raises StorageError where one of them cannot be read, unless
    `on_damaged` is told of it."""
    uris = sorted(
        (info.uri for info in output.list("calibrations", config_id) if info.uri.endswith(".json")),
        key=lambda uri: uri.rpartition("/")[2],
    )
    found: list[Calibration] = []
    for uri, data in output.store.read_many(uris):
        try:
            found.append(_parse(uri, data))
        except StorageError as error:
            if on_damaged is None:
                raise
            on_damaged(error)
    return found


def _parse(uri: str, data: bytes) -> Calibration:
    try:
        return Calibration.from_document(load_json(data))
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise StorageError(f"{uri} is no calibration ({error!r}); {NOT_OURS}") from error
