"""Ray Data without the actors that help it on clusters of several machines: each is a process of 100 MB.

Ray Data 2.60 keeps three: one knows on which machine each worker is, one asks a cluster for more machines, one has
figures for a dashboard. On one machine the first has one answer, the second nothing to ask for, and the third nobody
who looks. Each takes 2 s of processor time to start, at the same time as the workers do.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from framegate.pipelines.driver.replaced import is_known_ray, nothing, replaced

_STATISTICS = ("register_dataset_to_stats_actor", "update_execution_metrics", "update_iteration_metrics")


@contextmanager
def without_helpers() -> Iterator[None]:
    """Datasets of this process that run in here start no helper, where this Ray is known. For a cluster of one machine
    alone."""
    if not is_known_ray():
        yield
        return
    from ray.data._internal.execution import streaming_executor
    from ray.data._internal.execution.operators import actor_pool_map_operator as actor_pools
    from ray.data._internal.stats import _StatsManager

    with ExitStack() as here:
        for name in _STATISTICS:
            here.enter_context(replaced(_StatsManager, name, staticmethod(nothing)))
        new_id = staticmethod(lambda: uuid.uuid4().hex)
        here.enter_context(replaced(_StatsManager, "gen_dataset_id_from_stats_actor", new_id))
        here.enter_context(replaced(streaming_executor, "create_cluster_autoscaler", _make_fixed_cluster()))
        here.enter_context(replaced(actor_pools, "get_or_create_actor_location_tracker", OneMachine))
        here.enter_context(replaced(actor_pools, "get_actor_locations", _no_locations))
        yield


def is_one_machine() -> bool:
    """Whether the cluster that this process is in has one machine."""
    import ray

    return sum(node["Alive"] for node in ray.nodes()) == 1


class OneMachine:
    """What a worker tells where it is. It goes to workers, where each call does nothing."""

    @property
    def update_actor_location(self) -> OneMachine:
        return self

    def remote(self, *_location: object) -> None:
        """As Ray calls a method of an actor."""


def _no_locations(_actors: Sequence[str]) -> dict[str, str]:
    return {}  # what a worker said of itself when it came up stays


def _make_fixed_cluster() -> Callable[..., Any]:
    import ray
    from ray.data._internal.cluster_autoscaler import ClusterAutoscaler
    from ray.data._internal.execution.interfaces import ExecutionResources

    class FixedCluster(ClusterAutoscaler):
        """As large as it is."""

        def __init__(self, *_topology: object, **_options: object) -> None:
            resources: Any = ray.cluster_resources()  # whole numbers are ints, which Ray's own types forbid
            self._resources = ExecutionResources.from_resource_dict(resources)

        def try_trigger_scaling(self) -> None:
            """There is nothing to scale."""

        def on_executor_shutdown(self) -> None:
            """Nothing was asked for."""

        def get_total_resources(self) -> ExecutionResources:
            return self._resources

    return FixedCluster
