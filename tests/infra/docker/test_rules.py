"""What the Dockerfile promises can be read in it, and the linters have nothing to say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.infra.docker.dockerfile import chain, stages

ROOT = Path(__file__).resolve().parents[3]
DOCKER = ROOT / "infra" / "docker"
DOCKERFILE = DOCKER / "Dockerfile"
DEVICES = ("cpu", "cuda")
BIN = Path(sys.executable).parent
COMPILERS = re.compile(r"\b(gcc|g\+\+|clang|cc|make|build-essential|cargo|rustc|cuda-nvcc|devel)\b")


def pins(name: str) -> dict[str, tuple[str, set[str]]]:
    """Of each package its version and the hashes of its files."""
    text = (DOCKER / name).read_text(encoding="utf-8").replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            words = line.split()
            requirement = Requirement(words[0])
            [version] = requirement.specifier
            found[canonicalize_name(requirement.name)] = (version.version, set(words[1:]))
    return found


def test_hadolint_has_nothing_to_say(tmp_path: Path) -> None:
    run = [str(BIN / "hadolint"), "--no-color", "--failure-threshold", "style"]
    done = subprocess.run([*run, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian\nRUN cd /x && apt-get install gcc\n")
    assert "DL3008" in subprocess.run([*run, str(bad)], capture_output=True, text=True, check=False).stdout


def test_shellcheck_has_nothing_to_say() -> None:
    scripts = [str(DOCKER / name) for name in ("framegate-check", "framegate-stop", "lock")]
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("device", DEVICES)
def test_the_last_stage_is_confined_and_has_no_compiler(device: str) -> None:
    found = stages(DOCKERFILE, DEVICE=device)
    last = chain(found, found[-1].name)
    assert [stage.name for stage in last][-2:] == ["runtime", "last"]
    assert f"runtime-{device}" in [stage.name for stage in last]
    assert "checked" not in [stage.name for stage in last]  # what a check writes is in no image
    flat = [instruction for stage in last for instruction in stage.instructions]
    assert [each.rest for each in flat if each.word == "USER"] == ["10001:10001"]
    assert [each.words[:2] for each in flat if each.word == "ENTRYPOINT"] == [["/usr/bin/tini", "--"]]
    assert next(each.rest for each in flat if each.word == "HEALTHCHECK").endswith('CMD ["framegate-check"]')
    assert not [each.rest for each in flat if each.word == "RUN" and COMPILERS.search(each.rest)]
    assert not [each for each in flat if each.word in ("ADD", "VOLUME")]
    assert any("NVIDIA_VISIBLE_DEVICES" in each.rest for each in flat if each.word == "ENV") is (device == "cuda")


def test_the_base_is_one_tag_and_may_be_held_to_a_digest() -> None:
    tag = "python:3.11.14-slim-bookworm"
    assert stages(DOCKERFILE)[0].base == tag
    assert stages(DOCKERFILE, PYTHON_DIGEST="sha256:ab")[0].base == f"{tag}@sha256:ab"
    bases = {stage.base for stage in stages(DOCKERFILE)} - {stage.name for stage in stages(DOCKERFILE)}
    assert bases == {tag}


def test_everything_is_installed_by_hash() -> None:
    [build] = [stage for stage in stages(DOCKERFILE) if stage.name == "build"]
    runs = [each.rest for each in build.of("RUN")]
    installs = [part for run in runs for part in re.split(r"&&|;", run) if " install " in part]
    assert len(installs) == 3
    for install in installs:
        assert ("--require-hashes" in install and "--only-binary :all:" in install) or "--no-index" in install
        assert "--no-deps" in install


@pytest.mark.parametrize("device", DEVICES)
def test_versions_are_those_that_are_tested_together(device: str) -> None:
    tested = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if "==" in line:
            name, version = line.split("==")
            tested[canonicalize_name(name)] = version
    locked = pins(f"requirements-{device}.txt")
    assert {"ray", "torch", "av", "duckdb", "prometheus-client"} <= locked.keys()
    for name, (version, hashes) in locked.items():
        assert hashes, name
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word) for word in hashes), name
        if name in tested:
            assert version.removesuffix("+cpu") == tested[name], name
    assert locked["torch"][0].endswith("+cpu") is (device == "cpu")
    assert any(name.startswith("nvidia-") for name in locked) is (device == "cuda")
    assert "decord" not in locked


@pytest.mark.parametrize("device", DEVICES)
def test_nothing_but_torch_and_its_own_is_installed_that_is_not_pinned(device: str) -> None:
    names = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    known = {canonicalize_name(name) for name in names}
    of_torch = re.compile(r"nvidia-.*|cuda-.*|triton|setuptools")
    assert [name for name in pins(f"requirements-{device}.txt").keys() - known if not of_torch.fullmatch(name)] == []


def test_the_build_sees_no_more_than_it_copies() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = {
        word
        for stage in stages(DOCKERFILE)
        for each in stage.of("COPY")
        if not each.rest.startswith("--from")
        for word in each.words[:-1]
    }
    assert {word for word in copied if not any(word.startswith(name) for name in kept)} == set()
    assert {name for name in kept if not any(word.startswith(name) for word in copied)} == set()
