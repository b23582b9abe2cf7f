"""A system runs under another interpreter as well, whether or not framegate is installed there."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from framegate.pipelines.lab.bench.engines import run
from framegate.pipelines.lab.bench.engines.task import Task


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """An interpreter that has torch and all else that a system needs, but not framegate."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    found = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in found))
    python = tmp_path / "venv" / "bin" / "python"
    assert subprocess.run([python, "-c", "import framegate"], cwd="/", capture_output=True).returncode == 1
    return python


@pytest.mark.parametrize("in_folder", [".", "framegate"], ids=["plain", "beside a folder of that name"])
def test_a_system_runs_where_framegate_is_not_installed(
    in_folder: str,
    bare_python: Path,
    make_task: Callable[..., Task],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / in_folder).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "VLLM_SYSTEMS", ("transformers_direct",))
    task = make_task("qwen3_vl", "transformers_direct")
    outcome = run.run_once(task, run.Interpreters(vllm=str(bare_python)))
    assert len(outcome.written) == task.work.num_asked
