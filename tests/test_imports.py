"""The house keeps its walls: imports go one way, heavy packages have one home, importing a module does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for package in ("schemas", "pipelines", "jobs") for path in (ROOT / package).rglob("*.py"))
MIDDLE = ("source", "decode", "reason", "commit")
HOMES = {
    "av": ("pipelines/decode", "pipelines/dock", "pipelines/bench"),
    "decord": ("pipelines/decode", "pipelines/bench"),
    "transformers": ("pipelines/reason/engines", "pipelines/dock", "pipelines/bench/engines"),
    "vllm": ("pipelines/reason/engines", "pipelines/bench/engines"),
    "fsspec": ("pipelines/store/",),
    "s3fs": ("pipelines/store/",),
    "ray": ("pipelines/flow.py", "pipelines/cluster.py", "pipelines/bench", "jobs"),
}


def imported(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module or "")
    return names


def room(module: str) -> str:
    """The room of one of our modules: schemas, store, cluster, source, ..., dock, flow or jobs; else empty."""
    parts = module.split(".")
    if parts[0] in ("schemas", "jobs"):
        return parts[0]
    return parts[1] if parts[0] == "pipelines" and len(parts) > 1 else ""


def room_of_file(path: Path) -> str:
    return room(".".join(path.relative_to(ROOT).with_suffix("").parts))


ALLOWED = {
    "schemas": {"schemas"},
    "failpoints": {"schemas"},
    "store": {"schemas", "failpoints", "store"},
    "pinned": {"schemas", "store"},
    "occupancy": set(),
    "cluster": {"schemas"},
    **{name: {"schemas", "failpoints", "store", "pinned", "occupancy", name} for name in MIDDLE},
    "driver": {"schemas", "failpoints", "store", "driver", *MIDDLE},
    "flow": {"schemas", "failpoints", "store", "pinned", "cluster", "driver", *MIDDLE},
    "bench": {
        *("schemas", "failpoints", "store", "pinned", "occupancy", "cluster", "driver", "flow", "dock", "bench"),
        *MIDDLE,
    },
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    here = room_of_file(path)
    if here in ALLOWED:
        there = {room(name) for name in imported(path)} - {""}
        assert there <= ALLOWED[here], f"{here} must not import {there - ALLOWED[here]}"
    elif here != "jobs":
        assert not {"jobs", "bench"} & {room(name) for name in imported(path)}


@pytest.mark.parametrize("package", HOMES)
def test_a_heavy_package_has_one_home(package: str) -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in FILES
        if any(name == package or name.startswith(package + ".") for name in imported(path))
    }
    assert {user for user in users if not user.startswith(HOMES[package])} == set()


def test_schemas_know_neither_torch_nor_ray() -> None:
    for path in (ROOT / "schemas").rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & {"torch", "ray", "transformers", "fsspec"}


def test_importing_the_flow_starts_nothing_and_loads_neither_ray_nor_a_model() -> None:
    script = "import sys, pipelines.flow; print(sorted({'ray', 'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
