"""The sustained rates of the machine: bytes read from memory and matrix operations a second.

Runs in a process of its own, `python -m framegate.pipelines.lab.bench.engines.machine DTYPE DEVICE NUM_THREADS`, which
prints a `Machine` as JSON. A kernel's rate is the median of several tries, since on shared hosts a single lucky try has
read 82 GB/s where 45 are sustained. The rate of the fastest kernel counts.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from framegate.schemas.errors import EngineError

READ_BYTES = 512 * 2**20  # many times any cache
MATRIX_SIZES = (1024, 2048, 3072)
MIN_TRIES, MAX_TRIES, MAX_SECONDS = 3, 20, 0.5  # of each kernel


@dataclass(frozen=True, kw_only=True)
class Machine:
    """`device` in words. Bytes read and operations (2 per multiply-add) a second: the fastest kernel's median try."""

    device: str
    num_cores: int
    num_threads: int
    read_bytes_per_second: float
    matrix_operations_per_second: float


def count_cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def measure_machine(dtype: str, device: str, num_threads: int) -> Machine:
    """Measures in a fresh process. Raises EngineError where the device does not exist."""
    command = [sys.executable, "-m", "framegate.pipelines.lab.bench.engines.machine", dtype, device, str(num_threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(num_threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it wrote nothing"])[-1]
        raise EngineError(f"the machine could not be measured with --device {device}: {last}")
    return Machine(**json.loads(done.stdout))


def read_rate(device: torch.device) -> float:
    """Bytes a second of a sum over memory that was written: pages that nobody wrote are all one page of zeros."""
    values = torch.empty(READ_BYTES // 8, dtype=torch.int64, device=device).random_()
    sums = [values.view(torch.float32).sum, values.sum]
    return READ_BYTES / min(_median_seconds(one, device) for one in sums)


def matrix_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of a product of square matrices of `dtype`."""
    rates = []
    for size in MATRIX_SIZES:
        left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        rates.append(2 * size**3 / _median_seconds(lambda left=left, right=right: left @ right, device))
    return max(rates)


def _median_seconds(work: Callable[[], object], device: torch.device) -> float:
    tries: list[float] = []
    began = time.perf_counter()
    while len(tries) < MIN_TRIES or (len(tries) < MAX_TRIES and time.perf_counter() - began < MAX_SECONDS):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        tries.append(time.perf_counter() - started)
    return statistics.median(tries)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def main(dtype: str, device_name: str, num_threads: str) -> None:
    torch.set_num_threads(int(num_threads))
    device = torch.device(device_name)
    machine = Machine(
        device=_name(device),
        num_cores=count_cores(),
        num_threads=int(num_threads),
        read_bytes_per_second=read_rate(device),
        matrix_operations_per_second=matrix_rate(getattr(torch, dtype), device),
    )
    print(json.dumps(asdict(machine)))


if __name__ == "__main__":
    main(*sys.argv[1:])
