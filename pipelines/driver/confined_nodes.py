"""What confines decoders on the machines of a cluster: each of them is asked before any video is decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from framegate.schemas.errors import SandboxError

Measure = Callable[[], tuple[str, ...]]
"""Gives the names of what is in force on the machine on which it is called. Raises SandboxError where that is not
enough."""


def measure_on_nodes(measure: Measure) -> tuple[str, ...]:
    """What is in force on every machine that has processors for workers. Ray is there.

    A machine that joins later is asked by its own decode workers. Raises SandboxError, with the machine's address.
    """
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    ask: Any = ray.remote(num_cpus=0, max_retries=0)(measure_here)
    answers = {
        node["NodeManagerAddress"]: ask.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(measure)
        for node in nodes
    }
    found: list[tuple[str, ...]] = []
    for address, answer in answers.items():
        try:
            in_force, refusal = ray.get(answer)
        except RayError as error:
            first = str(error).strip().partition("\n")[0]
            raise SandboxError(f"machine {address} cannot tell what confines decoders there ({first})") from error
        if refusal:
            raise SandboxError(f"machine {address}: {refusal}")
        found.append(in_force)
    return tuple(name for name in found[0] if all(name in others for others in found)) if found else ()


def measure_here(measure: Measure) -> tuple[tuple[str, ...], str]:
    """What is in force, and the sentence where that is not enough: Ray wraps what a task raises into its own words."""
    try:
        return measure(), ""
    except SandboxError as error:
        return (), str(error)
