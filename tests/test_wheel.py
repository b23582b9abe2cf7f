"""What is built for others holds the three packages, their data, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_wheel_holds_the_three_packages_and_the_files_that_belong_to_them(tmp_path: Path) -> None:
    # A copy, because building leaves folders beside the sources.
    source = tmp_path / "source"
    for name in ("schemas", "pipelines", "jobs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"jobs", "pipelines", "schemas"}
    kinds = (".py", ".safetensors", ".json", ".jinja", ".txt", ".yaml")
    for path in (path for package in ("schemas", "pipelines", "jobs") for path in (source / package).rglob("*")):
        if path.suffix in kinds:
            assert str(path.relative_to(source)) in names


def test_the_command_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"framegate": "framegate.jobs.cli:main"}
    assert project["name"] == "framegate"
