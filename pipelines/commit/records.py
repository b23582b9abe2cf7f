"""What a config_id stands for and what a run did, as small text objects beside the tables; each created once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from pipelines.commit.layout import Layout
from pipelines.store import Store


def record_config(store: Store, layout: Layout, config_id: str, document: Mapping[str, Any]) -> None:
    """configs/<config_id>.yaml; the same document gives the same bytes, so that every run may call this."""
    text = yaml.safe_dump(dict(document), sort_keys=True, allow_unicode=True)
    store.put_once(layout.config(config_id), text.encode())


def record_run(store: Store, layout: Layout, run_id: str, record: Mapping[str, Any]) -> None:
    """runs/<run_id>.json."""
    store.put_once(layout.run(run_id), (json.dumps(dict(record), indent=2, sort_keys=True) + "\n").encode())
