"""Each overlay builds, and an API server would take every object of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import kubernetes_validate
import pytest

from tests.infra.kubernetes.conftest import IDENTITIES, KUBERNETES, OVERLAYS, Object, build, built, one
from tests.infra.kubernetes.structural import faults

RUNNING = {"pod": "CronJob", "nightly": "RayCronJob"}  # else a RayJob
OLDEST, NEWEST = "1.31", "1.37"  # podFailurePolicy is stable from 1.31 on


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_objects_of_kubernetes_are_valid(overlay: str, version: str) -> None:
    objects = [item for item in built(overlay) if not item["apiVersion"].startswith("ray.io/")]
    assert {"Namespace", "ServiceAccount", "ConfigMap", "PriorityClass", "NetworkPolicy", "PodDisruptionBudget"} <= {
        item["kind"] for item in objects
    }
    for item in objects:
        kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_objects_of_kuberay_are_valid(overlay: str, crds: dict[str, Object]) -> None:
    objects = [item for item in built(overlay) if item["apiVersion"].startswith("ray.io/")]
    assert [item["kind"] for item in objects] == [kind for kind in [RUNNING.get(overlay, "RayJob")] if kind[0] == "R"]
    for item in objects:
        assert faults(item, crds[item["kind"]]) == []


MISTAKES: dict[str, Callable[[Object], object]] = {
    "entryPoint": lambda spec: spec.update(entryPoint="x"),
    "mode": lambda spec: spec["rayClusterSpec"]["authOptions"].update(mode="tokens"),
    "minReplicas": lambda spec: spec["rayClusterSpec"]["workerGroupSpecs"][0].pop("minReplicas"),
    "cpus": lambda spec: spec["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"].update(cpus=3),
    "requires either BOTH": lambda spec: spec.update(deletionStrategy={"onSuccess": {"policy": "DeleteSelf"}}),
    "cannot be used together": lambda spec: spec["deletionStrategy"].update(onSuccess={"policy": "DeleteSelf"}),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_the_check_sees_what_an_api_server_would_refuse(words: str, crds: dict[str, Object]) -> None:
    job = copy.deepcopy(one(built("cpu"), "RayJob"))
    MISTAKES[words](job["spec"])
    said = faults(job, crds["RayJob"])
    assert words in " ".join(said)
    with pytest.raises(kubernetes_validate.ValidationError, match="specs"):
        kubernetes_validate.validate({**one(built("pod"), "CronJob"), "specs": 1}, NEWEST, strict=True)


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_identity_of_a_cloud_can_be_laid_over_each(
    overlay: str, identity: str, tmp_path: Path, crds: dict[str, Object]
) -> None:
    # Kustomize goes by relative paths, and reads nothing outside of folders that it was led to.
    up = "../" * (len(tmp_path.parts) - 1)
    there = f"{up}{str(KUBERNETES).lstrip('/')}"
    (tmp_path / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"resources: [{there}/overlays/{overlay}]\ncomponents: [{there}/components/{identity}]\n"
    )
    objects = build(tmp_path)
    assert len(objects) == len(built(overlay))
    assert list(one(objects, "ServiceAccount")["metadata"]["annotations"])
    for item in objects:
        if item["apiVersion"].startswith("ray.io/"):
            assert faults(item, crds[item["kind"]]) == []
        else:
            kubernetes_validate.validate(item, NEWEST, strict=True)
    changed = {item["kind"] for item in objects if item not in built(overlay)}
    beside = {"gcp-workload-identity": {"NetworkPolicy"}, "azure-workload-identity": {RUNNING.get(overlay, "RayJob")}}
    assert changed == {"ServiceAccount"} | (beside.get(identity) or set())


def test_a_nightly_template_is_the_spec_of_the_overlay_that_it_is_made_of() -> None:
    assert one(built("nightly"), "RayCronJob")["spec"]["jobTemplate"] == one(built("spot"), "RayJob")["spec"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_names_are_short_enough_for_what_kuberay_adds(overlay: str) -> None:
    """63 characters of a DNS label, less those of the cluster's, the service's and the schedule's suffixes."""
    for item in built(overlay):
        if item["apiVersion"].startswith("ray.io/"):
            assert len(item["metadata"]["name"]) <= 30
