"""How much memory an engine takes for itself: what the machine and the container leave, and a share of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from framegate.pipelines.reason.engines.own.device import attends_at_once, free_host_bytes, memory_budget

KIB, MIB, GIB = 2**10, 2**20, 2**30


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    folder.mkdir()
    return folder


@pytest.fixture
def cgroups(tmp_path: Path) -> Path:
    folder = tmp_path / "cgroup"
    folder.mkdir()
    return folder


def write_meminfo(proc: Path, available_bytes: int) -> None:
    lines = [
        f"MemTotal:       {64 * GIB // KIB} kB",
        "MemFree:          123456 kB",
        f"MemAvailable:   {available_bytes // KIB} kB",
        "HugePages_Total:       0",
    ]
    (proc / "meminfo").write_text("\n".join(lines) + "\n")


def write_version_2(cgroups: Path, limit: str, *, used: int, inactive: int) -> None:
    (cgroups / "memory.max").write_text(f"{limit}\n")
    (cgroups / "memory.current").write_text(f"{used}\n")
    (cgroups / "memory.stat").write_text(f"anon 1\nfile 2\ninactive_file {inactive}\nactive_file 4\n")


def write_version_1(cgroups: Path, limit: int, *, used: int, inactive: int) -> None:
    folder = cgroups / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{used}\n")
    # In version 1 the plain fields leave out the groups below, where the process itself may be.
    (folder / "memory.stat").write_text(f"inactive_file 7\ntotal_inactive_file {inactive}\n")


def test_without_a_container_it_is_what_the_machine_has_available(proc, cgroups):
    write_meminfo(proc, 10 * GIB)
    assert free_host_bytes(proc, cgroups) == 10 * GIB


@pytest.mark.parametrize("write", [lambda *a, **k: write_version_2(a[0], str(a[1]), **k), write_version_1])
def test_a_container_leaves_its_limit_less_what_is_used_and_cannot_be_taken_back(proc, cgroups, write):
    write_meminfo(proc, 10 * GIB)
    write(cgroups, 4 * GIB, used=3 * GIB, inactive=512 * MIB)
    assert free_host_bytes(proc, cgroups) == GIB + 512 * MIB


def test_a_container_without_a_limit_leaves_the_machines(proc, cgroups):
    write_meminfo(proc, 10 * GIB)
    write_version_2(cgroups, "max", used=9 * GIB, inactive=0)
    assert free_host_bytes(proc, cgroups) == 10 * GIB


def test_version_1_says_no_limit_with_a_huge_number(proc, cgroups):
    write_meminfo(proc, 10 * GIB)
    write_version_1(cgroups, 9223372036854771712, used=9 * GIB, inactive=0)
    assert free_host_bytes(proc, cgroups) == 10 * GIB


def test_a_machine_with_less_than_its_containers_limit_counts(proc, cgroups):
    write_meminfo(proc, GIB)
    write_version_2(cgroups, str(8 * GIB), used=0, inactive=0)
    assert free_host_bytes(proc, cgroups) == GIB


def test_a_container_over_its_limit_has_nothing_left_and_not_less(proc, cgroups):
    write_meminfo(proc, 10 * GIB)
    write_version_2(cgroups, str(GIB), used=2 * GIB, inactive=0)
    assert free_host_bytes(proc, cgroups) == 0


def test_where_nothing_tells_4_gib_are_assumed(proc, cgroups):
    assert free_host_bytes(proc, cgroups) == 4 * GIB
    (proc / "meminfo").write_text("MemTotal: 1 kB\n")  # kernels before 3.14 do not tell what is available
    assert free_host_bytes(proc, cgroups) == 4 * GIB


def test_a_container_alone_tells_enough(proc, cgroups):
    write_version_2(cgroups, str(3 * GIB), used=GIB, inactive=0)
    assert free_host_bytes(proc, cgroups) == 2 * GIB


def test_this_machine_tells_something_sensible():
    assert 16 * MIB < free_host_bytes() < 2**60


def test_an_engine_that_shares_a_machine_takes_its_share(monkeypatch):
    monkeypatch.setattr("framegate.pipelines.reason.engines.own.device.free_host_bytes", lambda: 10 * GIB)
    cpu = torch.device("cpu")
    alone = memory_budget(cpu, engine_share=1.0)
    assert 0 < alone < 10 * GIB
    assert memory_budget(cpu, engine_share=0.25) == pytest.approx(alone / 4, abs=1)
    monkeypatch.setattr("framegate.pipelines.reason.engines.own.device.free_host_bytes", lambda: 5 * GIB)
    assert memory_budget(cpu, engine_share=1.0) == pytest.approx(alone / 2, abs=1)


@pytest.mark.parametrize(
    ("allocated", "engine_share", "expected"),
    [
        (10 * GIB, 1.0, 0.75 * 60 * GIB),  # what is free, less than its own 70 GiB
        (10 * GIB, 0.5, 0.75 * 30 * GIB),  # its own 40 GiB less what it holds: the rest is another engine's
        (50 * GIB, 0.5, 0),  # weights take more than its share
        (10 * GIB, 4.0, 0.75 * 60 * GIB),  # several GPUs: this is one of them
    ],
)
def test_of_a_gpu_it_takes_what_is_free_and_its_own(monkeypatch, allocated, engine_share, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (60 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: allocated)
    assert memory_budget(torch.device("cuda"), engine_share=engine_share) == int(expected)


def test_freed_memory_is_kept_where_the_c_library_can():
    """In a process of its own: large pieces that come and go cause no page faults once they have been there."""
    script = """
import resource
from framegate.pipelines.reason.engines.own.device import keep_freed_memory
import numpy as np

def count():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        pieces = [np.ones(9 << 20, np.uint8) for _ in range(4)]
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = keep_freed_memory()
count()
print(kept, count())
"""
    kept, faults = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert kept == "False" or int(faults) < 1000  # otherwise some 40,000


def test_torchs_own_attention_is_taken_where_it_is_made_for_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    wide, narrow = torch.zeros(1), torch.zeros(1, dtype=torch.bfloat16)
    for has_amx in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda has_amx=has_amx: has_amx)
        assert attends_at_once(narrow) == has_amx
        assert not attends_at_once(wide)
        assert attends_at_once(wide.to("meta"))  # no CPU
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")  # another torch
    assert not attends_at_once(narrow)
