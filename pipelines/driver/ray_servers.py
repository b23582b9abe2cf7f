"""Ray's own processes on this machine: those that a run needs, each in a session of its own.

A cluster that is started here has one machine, is never scaled, and has no dashboard. Ray 2.60 starts seven servers for
it, of which a run needs two: the control store and the raylet. The others take 5 s of processor time to start.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from framegate.pipelines.driver.replaced import is_known_ray, nothing, replaced
from framegate.pipelines.driver.signals import heed_again

REGISTER_SECONDS: Final = 30.0  # as long as Ray itself waits
LOOK_AGAIN_SECONDS: Final = 0.02
_NOT_SERVED: Final = "-1"  # what Ray's agents write where they serve nothing
_AGENT_PORTS: Final = {
    "--dashboard_agent_command": {
        "metrics_agent_port": _NOT_SERVED,
        "metrics_export_port": _NOT_SERVED,
        "dashboard_agent_listen_port": _NOT_SERVED,
    },
    "--runtime_env_agent_command": {"runtime_env_agent_port": _NOT_SERVED},
}
"""Options of the raylet, and the ports that each agent names: reports to a dashboard, and environments of tasks."""
_NUM_WORKERS: Final = "--num_prestart_python_workers"


@contextmanager
def only_needed_servers(*, num_workers: int, has_log_monitor: bool) -> Iterator[None]:
    """While Ray starts in here, it starts what a run needs, and the driver keeps its own signal handlers.

    `num_workers` are started ahead, at most one for each processor; Ray would start as many as there are processors.
    `has_log_monitor`: what workers write is brought to the driver.

    Ray would make SIGTERM a `sys.exit` of the driver. In the driver's process group its processes would end by Ctrl-C
    on a terminal, `timeout` or a scheduler that signals groups, before the driver has drained.
    """
    from ray._private import services, utils

    with ExitStack() as here:
        here.enter_context(replaced(services, "ConsolePopen", _in_a_session(services.ConsolePopen)))
        here.enter_context(replaced(utils, "set_sigterm_handler", nothing))
        if is_known_ray():
            here.enter_context(_spared(num_workers, has_log_monitor=has_log_monitor))
        try:
            yield
        finally:
            heed_again()


@contextmanager
def _spared(num_workers: int, *, has_log_monitor: bool) -> Iterator[None]:
    from ray._private import node, services, utils

    with (
        replaced(services, "ConsolePopen", _as_needed(services.ConsolePopen, num_workers)),
        replaced(services, "get_node", _as_soon_as_there(services.get_node)),
        replaced(utils, "get_dashboard_dependency_error", nothing),  # a third of a second of imports
        replaced(node.Node, "start_monitor", nothing),
        replaced(node.Node, "start_api_server", nothing),
        replaced(node.Node, "start_log_monitor", node.Node.start_log_monitor if has_log_monitor else nothing),
    ):
        yield


def _in_a_session(popen: Callable[..., Any]) -> Callable[..., Any]:
    return lambda command, *args, **options: popen(command, *args, **{**options, "start_new_session": True})


def _as_needed(popen: Callable[..., Any], num_workers: int) -> Callable[..., Any]:
    """As `popen`; a raylet gets agents that do nothing, and few workers."""

    def start(command: Sequence[str], *args: Any, **options: Any) -> Any:
        given = {name: value for name, _, value in (part.partition("=") for part in command)}
        changed = {name: _idle_agent(ports, given) for name, ports in _AGENT_PORTS.items() if name in given}
        if _NUM_WORKERS in given:
            changed[_NUM_WORKERS] = str(min(int(given[_NUM_WORKERS]), num_workers))
        kept = [f"{name}={changed[name]}" if (name := part.partition("=")[0]) in changed else part for part in command]
        return popen(kept, *args, **options)

    return start


def _idle_agent(ports: Mapping[str, str], given: Mapping[str, str]) -> str:
    named = [f"{name}_{given['--node_id']}={port}" for name, port in ports.items()]
    program = str(Path(__file__).with_name("idle_agent.py"))
    return subprocess.list2cmdline([sys.executable, "-I", "-S", program, given["--session_dir"], *named])


def _as_soon_as_there(get_node: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    """As `get_node`, which sleeps a second where the raylet has not yet said that it is there."""

    def get(gcs_address: str, node_id: str) -> Any:
        from ray._private import services, state

        nodes = state.GlobalState()
        nodes._initialize_global_state(services._get_gcs_client_options(gcs_address))
        over_by = time.monotonic() + REGISTER_SECONDS
        while not any(node["NodeID"] == node_id for node in nodes.node_table()) and time.monotonic() < over_by:
            time.sleep(LOOK_AGAIN_SECONDS)
        return get_node(gcs_address, node_id)

    return get
