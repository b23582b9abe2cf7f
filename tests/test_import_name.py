"""One import name: whatever packages a user's folder holds, they are never taken for ours, nor ours for theirs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

import framegate

ROOT = Path(__file__).resolve().parents[1]
COMMAND = Path(sys.executable).with_name("framegate")
USUAL_NAMES = ("jobs", "pipelines", "schemas", "tests")


@pytest.fixture
def foreign_folder(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """A repository of somebody else's: packages that must not be imported, a folder named like us, a job."""
    for name in USUAL_NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise RuntimeError('the folder\\'s own {name} was imported')\n")
    (tmp_path / "framegate" / "jobs").mkdir(parents=True)
    make_video(tmp_path / "videos" / "film.mp4", seconds=2)
    job = {
        "input": {"videos": "videos/"},
        "frames": {"fps": 1, "max_frames": 2, "min_frame_pixels": 1024, "max_frame_pixels": 1024},
        "questions": [{"id": "seen", "text": "Was there a black crate?", "type": "yes_no"}],
        "model": {"name": "dock"},
        "gate": {"strategy": "direct", "max_answer_tokens": 4},
        "output": {"uri": "index"},
        "failures": {"stop_unparsed_share": 1},  # random weights
        "ray": {"decode_workers": 1},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    return tmp_path


def run_in(folder: Path, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("environment", [{}, {"PYTHONPATH": "."}], ids=["plain", "folder on PYTHONPATH"])
def test_a_run_on_ray_from_a_folder_with_packages_of_the_usual_names(
    foreign_folder: Path, environment: dict[str, str]
) -> None:
    done = run_in(foreign_folder, COMMAND, "run", "job.yaml", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (foreign_folder / "index" / "results").rglob("*.parquet")
    assert pq.read_table(file).column("question_id").to_pylist() == ["seen"]


@pytest.mark.parametrize("environment", [{}, {"PYTHONPATH": "."}], ids=["plain", "folder on PYTHONPATH"])
def test_a_video_is_decoded_in_a_child_process_from_there(foreign_folder: Path, environment: dict[str, str]) -> None:
    done = run_in(foreign_folder, COMMAND, "probe", "videos/film.mp4", **environment)
    assert done.returncode == 0, done.stderr
    assert "h264" in done.stdout


def test_python_m_framegate_is_the_command(foreign_folder: Path) -> None:
    shutil.rmtree(foreign_folder / "framegate")
    told = [
        run_in(foreign_folder, *command, "--version") for command in ([COMMAND], [sys.executable, "-m", "framegate"])
    ]
    assert [one.stdout for one in told] == [f"framegate {framegate.__version__}\n"] * 2
    shown = run_in(foreign_folder, sys.executable, "-m", "framegate", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Ask questions of every clip" in shown.stdout


def test_importing_framegate_loads_nothing_and_knows_its_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert framegate.__version__ == project["version"]
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = framegate.nothing
    script = "import sys, framegate; print(sorted(name for name in sys.modules if name.startswith('framegate')))"
    done = subprocess.run([sys.executable, "-c", script], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['framegate']"


def test_the_packages_to_be_installed_are_those_of_the_tree() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {name: ROOT / path for name, path in setuptools["package-dir"].items()}
    packages = {"framegate"}
    for name, folder in folders.items():
        for init in folder.rglob("__init__.py") if name != "framegate" else ():
            inner = init.parent.relative_to(folder).parts
            if folder / Path(*inner) != folders["framegate"]:
                packages.add(".".join([name, *inner]))
    assert setuptools["packages"] == sorted(packages)
    modules = {path.parent for folder in ("jobs", "pipelines", "schemas") for path in (ROOT / folder).rglob("*.py")}
    assert not [str(folder) for folder in modules if not (folder / "__init__.py").exists()], "a package has __init__.py"
