"""What many tests share: one Ray cluster and one S3 server for the whole run, and small videos."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import av
import hypothesis
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from framegate.pipelines.lab.bench.s3_server import s3_server
from framegate.schemas.config import RayConfig
from tests.model_folders import make_model_folder
from tests.s3_faults import S3Faults

pytest_plugins = ["tests.outputs", "tests.units", "tests.watched_run"]

# Read by libraries when they are imported or by processes when they start: two cores, no network, no surprises.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Machines that run tests are shared; a slow moment is no failure. The same examples every time.
hypothesis.settings.register_profile("framegate", deadline=None, derandomize=True)
hypothesis.settings.load_profile("framegate")

# The S3 server that the tests start takes these for its own; Ray's workers inherit them.
os.environ["AWS_ACCESS_KEY_ID"] = "framegate"
os.environ["AWS_SECRET_ACCESS_KEY"] = "framegate-secret"
os.environ["AWS_REGION"] = "us-east-1"


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    return (yield from usual_scheduling())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    return (yield from usual_scheduling())


def usual_scheduling() -> Generator[None, object, object]:
    """SVT-AV1 gives the thread that opens an encoder real-time priority where it may (root), and keeps it.

    What is started afterwards inherits it: Ray and servers starved all other processes of this machine.
    """
    outcome = yield
    if sys.platform == "linux" and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return outcome


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray with four logical CPUs, so that every pool of a test finds its place on two real ones."""
    from framegate.pipelines.driver.cluster import start_ray
    from framegate.pipelines.driver.session import end_own_session

    start_ray(RayConfig(), num_cpus=4)
    yield
    end_own_session(keep=False)


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3 server on loopback; this process finds it through its environment."""
    with pytest.MonkeyPatch.context() as environment, s3_server(tmp_path_factory.mktemp("seaweedfs")) as endpoint:
        environment.setenv("AWS_ENDPOINT_URL", endpoint)
        yield endpoint


@pytest.fixture(scope="session")
def s3_bucket(s3_endpoint: str) -> str:
    """One bucket for all tests: each bucket of this server takes volumes of its own, and it has four."""
    import s3fs

    s3fs.S3FileSystem(endpoint_url=s3_endpoint).mkdir("framegate-tests")
    return "s3://framegate-tests"


@pytest.fixture
def s3_root(s3_bucket: str) -> str:
    """The URI of an empty prefix."""
    return f"{s3_bucket}/{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def s3_proxy(s3_endpoint: str) -> Iterator[S3Faults]:
    """One proxy for all tests: clients, which take a tenth of a second to make, are kept by endpoint."""
    faults = S3Faults(s3_endpoint)
    with faults:
        yield faults


@pytest.fixture
def s3_faults(s3_proxy: S3Faults) -> Iterator[S3Faults]:
    """A way to the same server whose faults are scripted: `storage_options={"endpoint_url": s3_faults.endpoint}`."""
    s3_proxy.clear()
    yield s3_proxy
    s3_proxy.clear()


@pytest.fixture
def memory_root() -> Iterator[str]:
    """The URI of an empty folder in memory."""
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    yield "memory://root"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(scope="session")
def make_video() -> Callable[..., Path]:
    """`make_video(path, seconds=4)`: a small H.264 file of slowly changing grey, 64x64 at 8 frames per second."""

    def make(path: Path, *, seconds: float = 4.0, shade: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=8)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for index in range(round(seconds * 8)):
                pixels = np.full((64, 64, 3), (index * 5 + shade) % 256, np.uint8)
                for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
        return path

    return make


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that make a folder a checkpoint to the driver; a scripted engine needs no more."""
    return make_model_folder(tmp_path_factory.mktemp("model") / "scripted")
