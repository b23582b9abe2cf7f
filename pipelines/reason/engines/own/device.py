"""The device that an engine runs on: the way to it, its clock, and how much of its memory keys and values may fill.

Their memory is a share of what the device has free once weights are loaded. On the CPU that also depends on the limits
that a container sets, and on what the C library does with freed memory.
"""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import torch

# The rest is for activations (the largest are a prefill's scores and logits) and for other processes.
_CUDA_SHARE = 0.75
_HOST_SHARE = 0.4
_CGROUPS = (  # limit, usage, statistics with what the kernel may take back: version 2, then version 1
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)

# glibc's mallopt: parameters, and the largest value that it takes for the second.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _MAX_MMAP_THRESHOLD = -1, -3, 32 * 2**20


def to_device(values: list[int] | list[list[int]], device: torch.device) -> torch.Tensor:
    """Integers on the device. Does not wait for the device."""
    tensor = torch.tensor(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def finished_seconds(device: torch.device) -> float:
    """Seconds on a clock, once the device has done all of its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def attends_at_once(like: torch.Tensor) -> bool:
    """Whether torch's own attention is quicker for queries like these than plain matrix products.

    On CPUs it is made for AMX and bf16: there it takes half of their time for windows of 64 patches and 0.7 for a
    causal prefix of 605 tokens, and without AMX 2 to 5 times as long.
    """
    return like.device.type != "cpu" or (like.dtype == torch.bfloat16 and _has_amx())


def _has_amx() -> bool:
    is_supported = getattr(torch.cpu, "_is_amx_tile_supported", None)  # torch has no public name for it
    return is_supported is not None and bool(is_supported())


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees; returns whether its C library can do that.

    Activations have the same few sizes over and over, most of them below the 32 MiB that glibc can keep. If they are
    given back to the kernel each time, the next ones are fresh pages, and faulting those in costs several times what
    the computation does: a norm of 605 rows of 448 took 0.7 ms instead of 0.08, log-softmax over 10 rows of 152,000
    logits 4.1 instead of 1.7.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; others have none
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MAX_MMAP_THRESHOLD) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def memory_budget(device: torch.device, *, engine_share: float) -> int:
    """Bytes for the keys and values of one engine, measured now; `engine_share` is its share of the device (0 to 1).

    On a GPU that several engines share, the shares of the others stay free for them.
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        own = total * min(engine_share, 1.0) - torch.cuda.memory_allocated(device)
        return max(0, int(min(free, own) * _CUDA_SHARE))
    if device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return max(0, int(free * _CUDA_SHARE * engine_share))
    return int(free_host_bytes() * _HOST_SHARE * engine_share)


def free_host_bytes(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """The memory that this process can still get from the machine and its container; 4 GiB where neither tells."""
    known = [value for value in (_free_of_machine(proc), *_free_of_containers(cgroups)) if value is not None]
    return max(0, min(known, default=4 * 2**30))


def _free_of_machine(proc: Path) -> int | None:
    try:
        lines = (proc / "meminfo").read_text().splitlines()
    except OSError:  # no Linux
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None


def _free_of_containers(cgroups: Path) -> list[int]:
    free: list[int] = []
    for limit, usage, statistics, reclaimable in _CGROUPS:
        try:
            most = (cgroups / limit).read_text().strip()
            used = int((cgroups / usage).read_text())
            fields = dict(line.split() for line in (cgroups / statistics).read_text().splitlines())
        except OSError:  # not this version, or no container
            continue
        if most != "max":
            free.append(int(most) - used + int(fields.get(reclaimable, 0)))
    return free
