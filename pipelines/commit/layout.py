"""Where things lie below an output: the names of the journal, the sealed tables and the records.

Names are functions of their content or key, never of a clock or a random number, so that a second writer of the same
thing meets the first one's object. Knows nothing of how objects are written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from pipelines.store import join


def results_folder(root: str, config_id: str) -> str:
    return join(root, "results", f"config_id={config_id}")


def failures_folder(root: str, config_id: str) -> str:
    return join(root, "failures", f"config_id={config_id}")


def journal_folder(root: str, config_id: str) -> str:
    return join(root, "journal", f"config_id={config_id}")


def journal_uri(
    root: str, config_id: str, video_id: str, *, clip_indexes: Iterable[int], question_hashes: Iterable[str]
) -> str:
    """One object for one unit: clips first to last, and a digest of the set of questions asked of them."""
    indexes = sorted(clip_indexes)
    digest = hashlib.sha256("\n".join(sorted(question_hashes)).encode()).hexdigest()[:12]
    name = f"{indexes[0]:07d}-{indexes[-1]:07d}-{digest}.parquet"
    return join(journal_folder(root, config_id), video_id, name)


def journal_failure_uri(root: str, config_id: str, video_id: str, *, clip_index: int | None) -> str:
    """One object for a video without frames from a clip on, whatever the questions."""
    return join(journal_folder(root, config_id), video_id, f"{clip_index or 0:07d}-undecoded.parquet")


def sealed_uri(folder: str, data: bytes) -> str:
    """The name of a sealed file is the hash of its bytes: sealing the same rows again meets the same name."""
    return join(folder, f"{hashlib.sha256(data).hexdigest()[:24]}.parquet")


def config_uri(root: str, config_id: str) -> str:
    return join(root, "configs", f"{config_id}.yaml")


def run_uri(root: str, run_id: str) -> str:
    return join(root, "runs", f"{run_id}.json")
