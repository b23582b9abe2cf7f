"""The house keeps its walls: imports go one way, heavy packages have one home, importing a module does nothing."""

from __future__ import annotations

import ast
import itertools
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for package in ("schemas", "pipelines", "jobs") for path in (ROOT / package).rglob("*.py"))
TEST_FILES = sorted((ROOT / "tests").rglob("*.py"))
MAX_LINES = 350
HOMES = {
    "aiohttp": ("pipelines/store/",),
    "av": ("pipelines/decode/", "pipelines/lab/"),
    "cryptography": ("pipelines/audit/",),
    "decord": ("pipelines/decode/", "pipelines/lab/"),
    "duckdb": ("pipelines/results/", "pipelines/lab/bench/query/"),
    "fsspec": ("pipelines/store/",),
    "jinja2": ("pipelines/report/", "pipelines/reason/models/"),
    "ray": ("pipelines/driver/", "pipelines/lab/"),
    "s3fs": ("pipelines/store/",),
    "scipy": ("pipelines/calibrate/",),
    "transformers": ("pipelines/reason/models/", "pipelines/reason/engines/", "pipelines/lab/"),
    "vllm": ("pipelines/reason/engines/vllm/", "pipelines/lab/bench/engines/"),
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


STORAGE = {"schemas", "pipelines.failpoints", "pipelines.store"}
ASKING = {"schemas", "pipelines.reason.asking", "pipelines.reason.strategies"}
MODELS = {*ASKING, "pipelines.reason.models", "pipelines.reason.engines"}
DECODING = {"pipelines.decode", "pipelines.decode.readers", "pipelines.decode.sandbox"}
REASONING = {*MODELS, "pipelines.reason", "pipelines.reason.engines.build"}
WRITING = {*STORAGE, "pipelines.commit"}
RUNNING = {
    *WRITING, *DECODING, *REASONING, "pipelines.source", "pipelines.plan", "pipelines.worker", "pipelines.driver",
}  # fmt: skip

# Each room, by the beginning of its modules' names, and the rooms that it may import beside itself. A module belongs to
# the longest name that its own begins with.
ALLOWED: dict[str, set[str]] = {
    "schemas": set(),
    "pipelines.failpoints": {"schemas"},
    "pipelines.store": {"schemas", "pipelines.failpoints"},
    "pipelines.source": {"schemas", "pipelines.store"},
    "pipelines.decode.readers": {"schemas", "pipelines.store"},
    "pipelines.decode.sandbox": {"schemas", "pipelines.store", "pipelines.decode.readers"},
    "pipelines.decode": {"schemas", "pipelines.store", "pipelines.decode.readers", "pipelines.decode.sandbox"},
    "pipelines.reason.asking": {"schemas"},
    "pipelines.reason.strategies": {"schemas", "pipelines.reason.asking"},
    "pipelines.reason.models": {"schemas", "pipelines.reason.asking"},
    "pipelines.reason.engines": ASKING,
    "pipelines.reason.engines.own": MODELS,
    "pipelines.reason.engines.vllm": MODELS,
    "pipelines.reason.engines.build": {*MODELS, "pipelines.reason.engines.own", "pipelines.reason.engines.vllm"},
    "pipelines.reason": {*ASKING, "pipelines.reason.engines"},
    "pipelines.commit": STORAGE,
    "pipelines.plan": {*WRITING, *DECODING, *REASONING, "pipelines.calibrate", "pipelines.source"},
    "pipelines.worker": {*WRITING, *DECODING, *REASONING},
    "pipelines.driver": {*WRITING, "pipelines.plan", "pipelines.reason.strategies"},
    "pipelines.flow": {*RUNNING, "pipelines.drift"},
    "pipelines.deepen": {*RUNNING, "pipelines.flow"},
    "pipelines.erase": WRITING,
    "pipelines.audit": {*WRITING, "pipelines.erase"},
    # Arrays in, numbers out.
    "pipelines.calibrate": {"schemas"},
    "pipelines.certify": {*WRITING, "pipelines.calibrate", "pipelines.reason.asking", "pipelines.results"},
    "pipelines.compare": {*WRITING, "pipelines.calibrate", "pipelines.reason.asking", "pipelines.results"},
    # Receipts of erasures say where the counts of seal records are too high.
    "pipelines.results": {*WRITING, "pipelines.erase", "pipelines.plan"},
    "pipelines.drift": {*WRITING, "pipelines.calibrate", "pipelines.results"},
    "pipelines.report": {*WRITING, "pipelines.certify", "pipelines.results"},
    "pipelines.lab": {*RUNNING, "pipelines.flow", "pipelines.deepen", "pipelines.audit", "pipelines.calibrate",
                      "pipelines.certify", "pipelines.drift", "pipelines.erase",
                      "pipelines.results",
                      "pipelines.reason.engines.own", "pipelines.reason.engines.vllm"},
    "pipelines": set(),
    # The driver: a command that started Ray ends it.
    "jobs": {"schemas", "pipelines.audit", "pipelines.certify", "pipelines.commit", "pipelines.compare",
             "pipelines.deepen", "pipelines.driver", "pipelines.erase", "pipelines.flow", "pipelines.plan",
             "pipelines.reason.engines", "pipelines.report", "pipelines.results"},
    "jobs.lab": {"schemas", "jobs", "pipelines.compare", "pipelines.failpoints", "pipelines.lab", "pipelines.report",
                 "pipelines.results"},
    "jobs.cli": {"schemas", "jobs", "jobs.lab"},
    "jobs.framegate": {"jobs.cli", "pipelines.results"},
}  # fmt: skip


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def ours(path: Path) -> set[str]:
    """The modules of ours that a file imports, without `framegate.`: `from a import b` is `a.b` where that is one."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in inner if name.removeprefix("framegate.") in MODULES}
            names |= modules or {node.module}
    return {name.removeprefix("framegate.") for name in names if name.startswith("framegate.")}


def room(module: str) -> str:
    fitting = [name for name in ALLOWED if module == name or module.startswith(name + ".")]
    assert fitting, f"{module} is in no room"
    return max(fitting, key=len)


MODULES = {module_of(path): path for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    here = room(module_of(path))
    there = {room(name) for name in ours(path)} - {here}
    assert there <= ALLOWED[here], f"{here} must not import {sorted(there - ALLOWED[here])}"


def test_rooms_and_modules_import_in_no_circle() -> None:
    """Imports inside of functions count as well. Raises CycleError, which names the circle."""
    TopologicalSorter(ALLOWED).prepare()
    TopologicalSorter({name: ours(path) & MODULES.keys() - {name} for name, path in MODULES.items()}).prepare()


def test_each_room_is_there() -> None:
    rooms = {room(name) for name in MODULES}
    assert rooms == set(ALLOWED)


def test_a_file_holds_one_idea_and_at_most_350_lines() -> None:
    assert not longer_than(MAX_LINES, FILES)


def test_a_file_of_tests_and_of_what_they_share_is_held_to_it_too() -> None:
    assert not longer_than(MAX_LINES, TEST_FILES)
    assert longer_than(1, [Path(__file__)])


def longer_than(most: int, paths: list[Path]) -> dict[str, int]:
    counts = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    return {path: count for path, count in counts.items() if count > most}


def test_no_name_is_the_plural_or_the_suffix_of_another_one_beside_it() -> None:
    """`seals` or `unit_seal` beside `seal` is one idea in two files, or two ideas under one word."""
    names: dict[Path, set[str]] = {}
    for path in FILES:
        names.setdefault(path.parent, set()).add(path.stem)
    alike = {
        f"{folder.relative_to(ROOT)}: {one}, {other}"
        for folder, stems in names.items()
        for one, other in itertools.permutations(stems, 2)
        if other == f"{one}s" or other.endswith(f"_{one}")
    }
    assert not alike


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
    script = "import sys, framegate.pipelines.flow; print(sorted({'ray', 'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
