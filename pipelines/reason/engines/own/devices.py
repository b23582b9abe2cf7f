"""What differs between a CPU and a GPU that works while Python goes on."""

from __future__ import annotations

import time

import torch


def to_device(values: list[int] | list[list[int]], device: torch.device) -> torch.Tensor:
    """Integers on the device, without waiting for it."""
    tensor = torch.tensor(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def finished_seconds(device: torch.device) -> float:
    """Seconds on a clock, once the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
