"""The lists of hashes are what `make lock` writes today."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.infra.docker.test_rules import BIN, DOCKER, pins


def test_a_new_lock_has_the_same_versions_and_all_of_the_hashes(tmp_path: Path) -> None:
    """Files may be added to a release; none that was listed may have gone."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "OUT": str(tmp_path)}
    wheels = os.environ.get("TORCH_CPU_WHEELS") or os.environ.get("PIP_FIND_LINKS")
    if wheels:  # where PyTorch's own index is not to be had
        environment["TORCH_CPU_WHEELS"] = wheels
    # uv takes over what is in the file that it writes to, so that newer releases change nothing.
    for path in DOCKER.glob("requirements-*.txt"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    done = subprocess.run([str(DOCKER / "lock")], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for path in DOCKER.glob("requirements-*.txt"):
        now, then = pins(str(tmp_path / path.name)), pins(path.name)
        assert {name: version for name, (version, _) in now.items()} == {name: pin[0] for name, pin in then.items()}
        assert not {name for name in then if then[name][1] - now[name][1]}
