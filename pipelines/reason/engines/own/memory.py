"""How much memory an engine may fill with keys and values: a share of what its device has free once weights are loaded.
And what becomes of memory that was freed on the CPU.

Knows devices and the limits that a container sets, and nothing of models.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch

# What is left over serves activations (the largest are a prefill's scores and logits) and the rest of the machine.
_CUDA_SHARE = 0.75
_HOST_SHARE = 0.4
_CGROUPS = (  # limit, usage, statistics with what the kernel may take back: version 2, then version 1
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)

# glibc's mallopt: parameters, and the largest value that it takes for the second.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _MOST_MMAP_THRESHOLD = -1, -3, 32 * 2**20


def keep_freed_memory() -> bool:
    """Let this process keep what it frees for what it asks for next; whether its C library can do that.

    Activations are of the same few sizes over and over, most of them below the 32 MiB that glibc can keep. Given back
    to the kernel each time, they come back as fresh pages, and faulting those in costs several times what is computed
    in them: a norm of 605 rows of 448 took 0.7 ms instead of 0.08, log-softmax over 10 rows of 152,000 logits 4.1
    instead of 1.7.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; others have none
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MOST_MMAP_THRESHOLD) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def memory_budget(device: torch.device, *, engine_share: float) -> int:
    """Bytes for keys and values of one engine, measured now; `engine_share` of the device (0 to 1) is this engine's.

    On a GPU that several engines share, what the others will still take is left to them.
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
    """What this process can still get: of the machine's memory, and of its container's. 4 GiB where neither tells."""
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
