"""What a gated run could take at best, from runs that never think and that always do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DIRECT, GATED, ALWAYS = "transformers_direct", "transformers_gated", "transformers_always"
TWO_REQUESTS = "vllm_two_request"
_BOUND = (GATED, TWO_REQUESTS, "vllm_gated")


def compute_bound(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Seconds of `transformers_direct`, and of what `transformers_always` takes beyond them the share that thinks.

    Thought then costs as much per question as where all think. It is a bound of whole batches: where few think, a last
    batch that is not full, and prefixes that are asked about by fewer questions at once, come on top. None where one of
    the three systems has no seconds.
    """
    found = {row["system"]: row for row in rows if row["seconds"] is not None}
    if not {DIRECT, GATED, ALWAYS} <= found.keys():
        return None
    direct, always = found[DIRECT]["seconds"], found[ALWAYS]["seconds"]
    return direct + found[GATED]["num_thinking"] / found[GATED]["num_questions"] * (always - direct)


def beside_bound(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, float | None]]:
    """For each row the bound over its seconds, where it thinks on some questions, and how much faster it is than vLLM
    with two requests."""
    bound = compute_bound(rows)
    two_requests = next((row["seconds"] for row in rows if row["system"] == TWO_REQUESTS), None)
    beside = []
    for row in rows:
        seconds = row["seconds"]
        is_bound = bound is not None and seconds is not None and row["system"] in _BOUND
        beside.append(
            {
                "bound_seconds": bound if is_bound else None,
                "share_of_bound": bound / seconds if is_bound else None,
                "ratio_to_two_request": two_requests / seconds if two_requests and seconds else None,
            }
        )
    return beside
