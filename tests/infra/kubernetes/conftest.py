"""The overlays as kubectl builds them, each once, and the published schemas that they are held against."""

from __future__ import annotations

import gzip
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
KUBERNETES = ROOT / "infra" / "kubernetes"
OVERLAYS = sorted(path.parent.name for path in KUBERNETES.glob("overlays/*/kustomization.yaml"))
IDENTITIES = ("aws-irsa", "azure-workload-identity", "gcp-workload-identity")
FORMATS = Path(os.environ.get("FRAMEGATE_SHARED") or ROOT.parent / "shared") / "formats" / "kuberay"

Object = dict[str, Any]


@cache
def built(overlay: str) -> tuple[Object, ...]:
    return tuple(build(KUBERNETES / "overlays" / overlay))


def build(folder: Path) -> list[Object]:
    """What kubectl makes of a folder. Raises CalledProcessError with its words where it makes nothing."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if item]


def one(objects: tuple[Object, ...] | list[Object], kind: str) -> Object:
    [found] = [item for item in objects if item["kind"] == kind]
    return found


def pod_templates(objects: tuple[Object, ...] | list[Object]) -> dict[str, Object]:
    """Every template of a pod, by where it stands."""
    found: dict[str, Object] = {}
    for item in objects:
        if item["kind"] == "CronJob":
            found["run"] = item["spec"]["jobTemplate"]["spec"]["template"]
        elif item["kind"] in ("RayJob", "RayCronJob"):
            spec = item["spec"] if item["kind"] == "RayJob" else item["spec"]["jobTemplate"]
            found["submitter"] = spec["submitterPodTemplate"]
            found["head"] = spec["rayClusterSpec"]["headGroupSpec"]["template"]
            for group in spec["rayClusterSpec"]["workerGroupSpecs"]:
                found[group["groupName"]] = group["template"]
    assert found
    return found


@pytest.fixture(scope="session")
def crds() -> dict[str, Object]:
    """The schema of each of KubeRay's kinds, version v1."""
    found = {}
    for name in ("rayjobs", "raycronjobs"):
        path = FORMATS / f"ray.io_{name}.yaml.gz"
        assert path.is_file(), f"{path} is not there: set FRAMEGATE_SHARED to the folder with formats/kuberay"
        definition = yaml.load(gzip.decompress(path.read_bytes()), Loader=yaml.CSafeLoader)
        [version] = [version for version in definition["spec"]["versions"] if version["name"] == "v1"]
        found[definition["spec"]["names"]["kind"]] = version["schema"]["openAPIV3Schema"]
    return found
