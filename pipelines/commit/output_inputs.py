"""The columns of manifests that an output knows, as its sealed files have them."""

from __future__ import annotations

import json

from framegate.pipelines.commit.input_types import parse_types
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.sealed_columns import Inputs
from framegate.schemas.errors import ObjectNotFound, StorageError
from framegate.schemas.tables import INPUT_PREFIX


def read_inputs(output: Output) -> Inputs:
    """Fresh from storage. Raises StorageError."""
    uri = output.layout.partitioning
    try:
        columns = json.loads(output.store.read(uri)).get("columns", {})
    except ObjectNotFound:
        return {}
    except (ValueError, AttributeError) as error:
        raise StorageError(f"{uri} is no layout of an output ({error!r})") from error
    return {INPUT_PREFIX + name: data_type for name, data_type in (parse_types(columns) or {}).items()}
