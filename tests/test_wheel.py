"""The wheel holds one package, framegate, with its data and nothing else; installed from it, the program works."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("schemas", "pipelines", "jobs")
SUFFIXES = (".css", ".html", ".js", ".py", ".safetensors", ".json", ".jinja", ".txt", ".yaml", ".mp4", ".webm", ".npz")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because building leaves folders beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in FOLDERS:
        copytree(ROOT / name, source / name, ignore=ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new virtual environment with this wheel; dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    packages = folder / "venv" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv" / "bin" / "python")]
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *options, str(wheel)], check=True, capture_output=True)
    # As paths, and not as a site folder: its own .pth files would bring the checkout back.
    found = dict.fromkeys(path for path in sys.path if path.endswith("site-packages"))
    (packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in found))
    return folder / "venv" / "bin"


def run(folder: Path, *command: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_file_of_ours_lies_below_framegate(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {f"framegate/{path.name}" for path in (ROOT / "jobs" / "framegate").glob("*.py")}
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*")):
        if path.suffix in SUFFIXES and not path.is_relative_to(ROOT / "jobs" / "framegate"):
            expected.add(f"framegate/{path.relative_to(ROOT).as_posix()}")
    assert names == expected
    assert {"framegate/__main__.py", "framegate/schemas/tables.py", "framegate/jobs/cli.py"} <= names
    assert "framegate/pipelines/weights/dock/model.safetensors" in names


def test_the_installed_program_runs_from_any_folder(installed: Path, tmp_path: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    where = run(tmp_path, installed / "python", "-c", "import framegate; print(framegate.__file__)")
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert run(tmp_path, installed / "framegate", "--version") == f"framegate {version}\n"
    assert "Ask questions of every clip" in run(tmp_path, installed / "python", "-m", "framegate", "--help")


def test_the_installed_program_decodes_in_a_child_process_and_finds_its_weights(
    installed: Path, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    make_video(tmp_path / "film.mp4", seconds=2)
    assert "h264" in run(tmp_path, installed / "framegate", "probe", "film.mp4")
    script = "from framegate.pipelines.reason.models.packaged import model_folder; print(model_folder('dock'))"
    assert (Path(run(tmp_path, installed / "python", "-c", script).strip()) / "model.safetensors").is_file()


def test_the_command_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"framegate": "framegate.jobs.cli:main"}
    assert project["name"] == "framegate"
