"""What a config_id stands for and what a run did, as small text objects beside the tables; each created once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from pipelines.commit.layout import config_uri, run_uri
from pipelines.store import Store


def record_config(store: Store, root: str, config_id: str, document: Mapping[str, Any]) -> None:
    """configs/<config_id>.yaml; the same document gives the same bytes, so that every run may call this."""
    text = yaml.safe_dump(dict(document), sort_keys=True, allow_unicode=True)
    store.put_once(config_uri(root, config_id), text.encode())


def record_run(store: Store, root: str, run_id: str, record: Mapping[str, Any]) -> None:
    """runs/<run_id>.json."""
    store.put_once(run_uri(root, run_id), (json.dumps(dict(record), indent=2, sort_keys=True) + "\n").encode())
