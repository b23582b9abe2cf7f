"""Pods of each overlay: confined, ended in order, and made of things that are there."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import typer

from framegate.jobs.cli import app
from framegate.schemas.job import load_job
from tests.infra.kubernetes.conftest import OVERLAYS, ROOT, Object, built, one, pod_templates

PODS = [(overlay, name) for overlay in OVERLAYS for name in pod_templates(built(overlay))]
DRIVERS = ("head", "run")  # the pods in which a run is
OF_RAY = 20  # seconds that Ray takes to end on top of the run's grace


def pod(overlay: str, name: str) -> Object:
    return pod_templates(built(overlay))[name]


@pytest.mark.parametrize(("overlay", "name"), PODS)
def test_a_pod_meets_the_restricted_standard(overlay: str, name: str) -> None:
    """The rules of Pod Security "restricted", which the namespace enforces, and a root that is read-only."""
    spec = pod(overlay, name)["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    allowed = {"emptyDir", "configMap", "persistentVolumeClaim"}
    assert {kind for volume in spec["volumes"] for kind in volume.keys() - {"name"}} <= allowed
    for container in spec["containers"]:
        confined = container["securityContext"]
        assert confined == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not [port for port in container.get("ports", []) if "hostPort" in port]


@pytest.mark.parametrize(("overlay", "name"), PODS)
def test_no_pod_holds_a_key(overlay: str, name: str) -> None:
    spec = pod(overlay, name)["spec"]
    assert spec["serviceAccountName"] == "framegate"
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        assert {entry["name"] for entry in container.get("env", [])} <= {"HOME", "RAY_JOB_STOP_WAIT_TIME_S"}
        assert "envFrom" not in container
    assert not [item for item in built(overlay) if item["kind"] == "Secret"]


@pytest.mark.parametrize(("overlay", "name"), PODS)
def test_what_a_pod_names_is_there(overlay: str, name: str) -> None:
    objects = built(overlay)
    spec = pod(overlay, name)["spec"]
    assert spec["priorityClassName"] == one(objects, "PriorityClass")["metadata"]["name"]
    assert spec["serviceAccountName"] == one(objects, "ServiceAccount")["metadata"]["name"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    if name != "submitter":
        assert volumes["job"]["configMap"]["name"] == one(objects, "ConfigMap")["metadata"]["name"]
    for container in spec["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
        assert {"/tmp"} <= {mount["mountPath"] for mount in container["volumeMounts"]}
        kind = "cuda" if overlay in ("gpu", "spot", "nightly") else "cpu"
        assert container["image"] == f"framegate:0.1.0-{kind}"
        if name != "submitter":  # a pod that asks for less memory than it takes is the first to be ended
            assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]


@pytest.mark.parametrize(("overlay", "name"), PODS)
def test_policies_speak_of_the_pods(overlay: str, name: str) -> None:
    objects = built(overlay)
    # KubeRay adds the type of a node.
    labels = {**pod(overlay, name)["metadata"]["labels"], "ray.io/node-type": "head" if name == "head" else "worker"}
    policy = one(objects, "NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    kept = one(objects, "PodDisruptionBudget")["spec"]
    assert (kept["selector"]["matchLabels"].items() <= labels.items()) is (name in DRIVERS)
    assert kept["minAvailable"] == 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_waits_for_the_grace_of_its_run(overlay: str, tmp_path: Path) -> None:
    grace = job_of(overlay, tmp_path).config.run.grace_seconds
    [name] = [name for name in pod_templates(built(overlay)) if name in DRIVERS]
    spec = pod(overlay, name)["spec"]
    assert spec["terminationGracePeriodSeconds"] >= grace + OF_RAY
    if name == "head":
        [container] = spec["containers"]
        assert container["lifecycle"] == {"preStop": {"exec": {"command": ["framegate-stop"]}}}
        wait = {entry["name"]: entry["value"] for entry in container["env"]}["RAY_JOB_STOP_WAIT_TIME_S"]
        assert grace + OF_RAY <= int(wait) <= spec["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_job_is_one_that_framegate_takes(overlay: str, tmp_path: Path) -> None:
    config = job_of(overlay, tmp_path).config
    num_gpus = sum(
        int(group["template"]["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu", 0))
        * group["replicas"]
        for group in cluster_of(overlay).get("workerGroupSpecs", [])
    )
    assert config.ray.gpus_per_actor * config.ray.reason_actors.max == num_gpus
    assert bool(num_gpus) is (overlay in ("gpu", "spot", "nightly"))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_command_is_one_that_framegate_has(overlay: str) -> None:
    words = command_of(overlay)
    assert words[: words.index("--")] in (["tini", "-e", "3"], ["tini", "-s", "-e", "3"])
    program, name, path, *options = words[words.index("--") + 1 :]
    assert (program, name, path) == ("framegate", "run", "/etc/framegate/job.yaml")
    known = {option for param in typer.main.get_command(app).commands["run"].params for option in param.opts}
    assert {word for word in options if word.startswith("--")} <= known


def test_a_night_ends_itself_before_kubernetes_ends_it() -> None:
    for overlay in OVERLAYS:
        words = command_of(overlay)
        hours = int(words[words.index("--for") + 1].removesuffix("h"))
        objects = built(overlay)
        if overlay == "pod":
            job = one(objects, "CronJob")["spec"]["jobTemplate"]["spec"]
        else:
            kind = "RayCronJob" if overlay == "nightly" else "RayJob"
            job = one(objects, kind)["spec"]
            job = job.get("jobTemplate", job)
        assert job["activeDeadlineSeconds"] >= 3600 * hours + 3600


def test_exit_codes_that_a_retry_does_not_mend_end_the_job() -> None:
    from framegate.jobs import drift, log, run_end

    rules = one(built("pod"), "CronJob")["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    [values] = [rule["onExitCodes"]["values"] for rule in rules if rule["action"] == "FailJob"]
    assert values == [log.EXIT_REFUSED, log.EXIT_ANOTHER_RUN, drift.EXIT_DRIFT]
    assert run_end.EXIT_DEADLINE == 3
    assert not {run_end.EXIT_INCOMPLETE, run_end.EXIT_DEADLINE, 143} & {*values}


def test_the_version_of_ray_is_the_one_that_is_pinned() -> None:
    pinned = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line.count("==") == 1
    )
    for overlay in OVERLAYS:
        cluster = cluster_of(overlay)
        if cluster:
            assert cluster["rayVersion"] == pinned["ray"]
            assert cluster["authOptions"] == {"mode": "token"}


def cluster_of(overlay: str) -> Object:
    for item in built(overlay):
        if item["kind"] in ("RayJob", "RayCronJob"):
            return item["spec"].get("jobTemplate", item["spec"])["rayClusterSpec"]
    return {}


def command_of(overlay: str) -> list[str]:
    if overlay == "pod":
        [container] = pod("pod", "run")["spec"]["containers"]
        return [*container["command"], *container["args"]]
    [item] = [item for item in built(overlay) if item["kind"] in ("RayJob", "RayCronJob")]
    return shlex.split(item["spec"].get("jobTemplate", item["spec"])["entrypoint"])


def job_of(overlay: str, folder: Path):
    for name, text in one(built(overlay), "ConfigMap")["data"].items():
        (folder / name).write_text(text)
    return load_job(folder / "job.yaml")
