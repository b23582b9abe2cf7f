"""Ray as this program wants it: on loopback, quiet, without dashboard or usage reports; and the CPUs of each worker.

Ray is imported inside of functions, because it reads its environment when it is imported.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from framegate.pipelines.driver.joining import check_cluster, named_cluster
from framegate.pipelines.driver.private_ray import (
    LOOPBACK,
    give_token_back,
    make_private_folder,
    take_new_token,
    use_token,
)
from framegate.pipelines.driver.ray_servers import only_needed_servers
from framegate.pipelines.driver.session import note_own_session
from framegate.schemas.config import RayConfig
from framegate.schemas.errors import ConfigError, FramegateError

_IMPORTED_AHEAD = (  # by a worker that waits for its work, while the driver plans
    "ray.data._internal.execution.operators.actor_pool_map_operator",
    "framegate.pipelines.driver.blocks",
    "framegate.pipelines.worker.answer_worker",
    "framegate.pipelines.worker.decode_worker",
)
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "120000",  # a busy machine takes longer than the half minute that is the default
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # leaves CUDA_VISIBLE_DEVICES alone where an actor asks for no GPU
    # Threads of an engine that wait for each other sleep, and leave the processor to a decoder meanwhile. Where they
    # spin, as is the default, 2 of them beside 3 other processes on 2 processors took 8 times as long.
    "OMP_WAIT_POLICY": "PASSIVE",
    "RAY_worker_niceness": "0",  # the default of 15 starves them beside any other work, until Ray gives them up
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_task_events_report_interval_ms": "0",  # nobody asks what became of a task; the store kept 0.4 kB of each film
    "RAY_preload_python_modules": ",".join(_IMPORTED_AHEAD),
}
_FIXED = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # binds to 127.0.0.1 instead of every interface
_QUIET = {"RAY_BACKEND_LOG_LEVEL": "fatal"}  # its core writes notes about Ray Data's own actors to stderr as errors

Made = TypeVar("Made")
# About a third of an engine's weight: enough to keep it fed where it is the faster of the two.
NICENESS = 5
LOOK_AGAIN_SECONDS = 0.05
EXIT_FATAL = 70  # the exit code of a worker in which no engine can work any more: sysexits.h, EX_SOFTWARE


@dataclass(frozen=True, kw_only=True)
class Shares:
    """CPUs that one worker of each kind asks for, so that all of them fit at once."""

    decode_cpus: float
    reason_cpus: float


def start_ray(config: RayConfig, *, num_cpus: int | None = None, verbose: bool = False) -> Shares:
    """Joins the cluster that the job or RAY_ADDRESS names, the one that this process is in, or starts one here.

    Called in the main thread: Ray's processes end with the thread that started them.

    `num_cpus`: how many a cluster that is started here may count; by default what the machine has. `verbose` lets Ray
    and its workers write to this process's terminal or log.
    Raises ConfigError where the cluster has fewer GPUs than the smallest actor pool needs, or asks for no token and is
    not trusted; FramegateError where the cluster cannot be reached.
    """
    named = named_cluster(config)
    _set_environment(config, verbose=verbose)
    import ray
    import ray.data

    if not ray.is_initialized():
        num_workers = config.decode_workers + config.reason_actors.min
        with only_needed_servers(num_workers=num_workers, has_log_monitor=verbose):
            if named is None:
                _start_here(num_cpus, verbose=verbose)
            else:
                _join(config, named, verbose=verbose)
    # Ray Data writes whole stack traces to the terminal; they stay in its log file, and the user gets one sentence.
    logger = logging.getLogger("ray.data")
    streams = [handler for handler in logger.handlers if isinstance(handler, logging.StreamHandler)]
    for handler in [] if verbose else streams:
        logger.removeHandler(handler)
    return _share(config, ray.cluster_resources(), is_here=named is None)


def _start_here(num_cpus: int | None, *, verbose: bool) -> None:
    """Starts a Ray that nobody else on this machine or beyond it can talk to. Raises FramegateError."""
    import ray

    folder = make_private_folder()
    take_new_token()
    options = {
        "address": "local",  # without it Ray joins any cluster that it finds a note of, dead ones too
        "num_cpus": num_cpus,
        "include_dashboard": False,
        "_node_ip_address": LOOPBACK,
        "_temp_dir": str(folder / "ray"),
        "_skip_env_hook": True,
        **_logging(verbose),
    }
    try:
        context = ray.init(**options)
    except Exception as error:  # Ray raises a bare Exception where its processes do not come up
        give_token_back()
        logs = "".join(f"; its logs are below {path}" for path in (folder / "ray").glob("session_2*/logs"))
        if not logs:
            shutil.rmtree(folder, ignore_errors=True)
        raise FramegateError(f"Ray could not be started on this machine: {_why_not_started(error)}{logs}") from error
    note_own_session(getattr(context, "address_info")["session_dir"], folder)  # noqa: B009 (undeclared)


def _join(config: RayConfig, named: str, *, verbose: bool) -> None:
    """Raises ConfigError, FramegateError."""
    import ray

    if check_cluster(config):
        use_token()
    try:
        ray.init(address=named, **_logging(verbose))
    except Exception as error:
        raise FramegateError(f"Ray could not be reached at {named}: {_why_not_started(error)}") from error


def _logging(verbose: bool) -> dict[str, Any]:
    return {"logging_level": logging.INFO if verbose else logging.ERROR, "log_to_driver": verbose}


def _why_not_started(error: Exception) -> str:
    """Its first line, and what to do about it where that is known."""
    first = str(error).strip().partition("\n")[0]
    if "AF_UNIX path length" not in first:
        return first
    return (
        f"its sockets lie below the folder for temporary files, whose path is too long for them ({first}); set"
        " RAY_TMPDIR to a short folder, such as /tmp, and run again"
    )


def _set_environment(config: RayConfig, *, verbose: bool) -> None:
    """Before Ray is imported. Of a cluster that is joined nothing is changed."""
    if named_cluster(config) is not None:
        return
    os.environ.update(_FIXED)
    # Ray gives a process with a fraction of a CPU one thread; a model on the CPU may have what the others leave.
    threads = max(1, (os.cpu_count() or 1) // config.reason_actors.max)
    quiet = {} if verbose else _QUIET
    for name, value in {**_ENVIRONMENT, **quiet, "OMP_NUM_THREADS": str(threads)}.items():
        os.environ.setdefault(name, value)


def unwrap(error: BaseException) -> FramegateError:
    """Unwraps Ray's exception: the FramegateError inside, or a new one that holds the cause's first line."""
    from ray.exceptions import RayError

    inner = error
    while isinstance(inner, RayError) and (cause := getattr(inner, "cause", None) or inner.__cause__):
        inner = cause
    if isinstance(inner, FramegateError) and not isinstance(inner, RayError):
        return type(inner)(str(inner).partition("\n")[0])  # Ray adds advice of its own in further lines
    first = str(inner).strip().partition("\n")[0]
    return FramegateError(
        f"a worker failed with {type(inner).__name__}: {first}; what was committed until then is kept"
    )


def list_workers() -> dict[str, int | None]:
    """The workers of this driver that have not ended: their process if it runs on this machine, else None.

    Without Ray Data's own actors, which are detached, and live as long as Ray does.
    """
    import ray
    from ray._private import state

    context = ray.get_runtime_context()
    job, node = context.get_job_id(), context.get_node_id()
    actors = (actor for actor in state.actors().values() if actor["JobID"] == job and not actor["IsDetached"])
    alive = [actor for actor in actors if actor["State"] != "DEAD"]
    return {actor["ActorID"]: actor["Pid"] if actor["Address"]["NodeID"] == node else None for actor in alive}


def wait_for_end(workers: Mapping[str, int | None], *, max_seconds: float) -> None:
    """Until each process has ended, or Ray says so where it is on another machine; at most for so long."""
    over_by = time.monotonic() + max_seconds
    while time.monotonic() < over_by:
        on_other_machines = [id for id, pid in workers.items() if not pid]
        alive = list_workers() if on_other_machines else {}
        if not any(id in alive if not pid else _is_there(pid) for id, pid in workers.items()):
            return
        time.sleep(LOOK_AGAIN_SECONDS)


def _is_there(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def at_low_priority(make_stage: Callable[..., Made], **options: object) -> Made:
    """Makes a stage, with `options`, after lowering this process's priority, so that engines on the same processors go
    first.

    Its child processes inherit the priority. An engine's threads wait for each other many times in each step: where one
    of them is put aside for a decoder, all of them wait. On 2 busy processors a process beside it took 40 % of a matrix
    product's speed; one with this niceness took 10 %.
    """
    os.nice(NICENESS)
    return make_stage(**options)


def end_process(error: BaseException) -> None:
    """Ends this worker at once, so that Ray starts another in its place and gives it what this one had in hand.

    Not by Ray's own `exit_actor`, which is for good. What was wrong stands in the worker's log.
    """
    traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(EXIT_FATAL)


def check_gpus(config: RayConfig, *, verbose: bool = False) -> None:
    """Raises ConfigError where the smallest actor pool needs more GPUs than Ray would count here; starts nothing.

    Of a cluster nothing is known before it is joined.
    """
    if config.gpus_per_actor == 0 or named_cluster(config) is not None:
        return
    _set_environment(config, verbose=verbose)
    import ray
    from ray._private.resource_and_label_spec import ResourceAndLabelSpec

    if ray.is_initialized():
        return _refuse_missing_gpus(config, ray.cluster_resources().get("GPU", 0.0))
    manager, num_accelerators = ResourceAndLabelSpec._get_current_node_accelerator(None, {})
    is_gpu = manager is not None and manager.get_resource_name() == "GPU"
    return _refuse_missing_gpus(config, float(num_accelerators or 0) if is_gpu else 0.0)


def _refuse_missing_gpus(config: RayConfig, num_gpus: float) -> None:
    needed = config.gpus_per_actor * config.reason_actors.min
    if needed > num_gpus:
        raise ConfigError(
            f"ray.gpus_per_actor {config.gpus_per_actor:g} with {config.reason_actors.min} actors needs {needed:g} GPUs"
            f" and Ray finds {num_gpus:g} here; set ray.gpus_per_actor: 0 to run the model on the CPU"
        )


def _share(config: RayConfig, resources: Mapping[str, float], *, is_here: bool) -> Shares:
    if is_here:
        _refuse_missing_gpus(config, resources.get("GPU", 0.0))
    else:
        return Shares(decode_cpus=1, reason_cpus=1)
    # A pool whose processes do not all fit would wait for ever; here they share what there is.
    num_processes = config.decode_workers + config.reason_actors.max + 1
    share = min(1.0, int(1000 * resources.get("CPU", 1.0) / num_processes) / 1000)
    return Shares(decode_cpus=share, reason_cpus=share)
