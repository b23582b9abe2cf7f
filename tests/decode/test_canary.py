"""Files that name other files or addresses reach neither: nobody is called, and nothing of a canary is ever seen.

The whole flow runs, with each decoder, over playlists and over videos that carry references, as files and as members of
a tar shard. Plain decoders, asked to open the same files, do call and do read: the canaries would sing.
"""

from __future__ import annotations

import io
import secrets
import tarfile
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import decord
import duckdb
import numpy as np
import pytest
import ray

from pipelines import flow
from pipelines.reason.engines.protocol import ClipRequest
from pipelines.reason.engines.scripted import ScriptedEngine
from schemas.job import parse_job
from tests.decode import corpus_texts as texts
from tests.decode.corpus_bytes import elsewhere_as_alias, elsewhere_by_url, fill
from tests.decode.corpus_films import MAGENTA, film


def is_canary(frames_THWC: np.ndarray) -> bool:
    return bool((np.abs(frames_THWC.reshape(-1, 3).mean(axis=0) - np.array(MAGENTA)) < 40).all())


@dataclass
class Canary:
    """A video that must not be seen: on disk beside the input, and behind an address. Its text is in its bytes."""

    folder: Path
    text: str
    port: int = 0
    calls: list[str] = field(default_factory=list)

    @property
    def targets(self) -> dict[str, str]:
        return {
            "address": f"http://127.0.0.1:{self.port}/canary.ts",
            "path": str(self.folder / "canary.ts"),
            "file_address": (self.folder / "canary.ts").as_uri(),
            "neighbour": "canary.ts",
        }


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    folder = tmp_path / "videos"
    folder.mkdir()
    canary = Canary(folder=folder, text=f"CANARY-{secrets.token_hex(8)}")
    data = film("mpegts", is_magenta=True)
    (folder / "canary.ts").write_bytes(data + canary.text.encode())
    (folder / "canary.mp4").write_bytes(film(is_magenta=True) + canary.text.encode())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def get_request(self):
            connection, address = super().get_request()
            canary.calls.append(str(address))
            return connection, address

        def handle_error(self, request: object, client_address: object) -> None:
            """Who hangs up early is no error of ours."""

    server = Server(("127.0.0.1", 0), Handler)
    canary.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    yield canary
    server.shutdown()
    thread.join()
    server.server_close()


def hostile_files(canary: Canary) -> dict[str, bytes]:
    """By name. The last five are videos, or begin like one."""
    targets = canary.targets
    files = {
        f"{maker}-{kind}": texts.PLAYLISTS[maker](target)
        for kind, target in targets.items()
        for maker in (texts.PLAYLISTS if kind == "address" else ("hls", "ffconcat", "dash"))
    }
    address = targets["address"]
    return {
        **files,
        "hls-mark": texts.BYTE_ORDER_MARK + texts.hls(address),
        "hls-blanks": b"\n\n \t" + texts.hls(address),
        "hls-utf-16": texts.hls(address).decode().encode("utf-16"),
        "ffconcat-blanks": b"\n" + texts.ffconcat(address),
        "plain-list": texts.plain_list(address),
        "video-by-alias": movie_without_frames(),
        "video-by-url": elsewhere_by_url(film(), (canary.folder / "canary.mp4").as_uri()),
        "video-before-a-playlist": film("mpegts") + texts.hls(address),
        "video-with-a-manifest": _manifest_in_mkv(texts.dash(address)),
        "avi-of-text": film("avi", "mpeg4")[:12] + texts.hls(address) * 9,
    }


def movie_without_frames() -> bytes:
    """The canary's own index, which says that the frames are in the file beside it."""
    return elsewhere_as_alias(fill(film(is_magenta=True), "mdat", b"\0"), "canary.mp4")


def _manifest_in_mkv(text: bytes) -> bytes:
    """A whole Matroska film whose first element holds a text: some decoders look for one in all that they see."""
    data = film("matroska")
    size_bytes = 9 - data[4].bit_length()
    size = int.from_bytes(data[4 : 4 + size_bytes], "big") & ((1 << 7 * size_bytes) - 1)
    content = data[4 + size_bytes : 4 + size_bytes + size]
    content += b"\xec" + (0x4000 | len(text)).to_bytes(2, "big") + text
    return data[:4] + (0x4000 | len(content)).to_bytes(2, "big") + content + data[4 + size_bytes + size :]


def _watching_engine(folder: Path) -> Callable[[], ScriptedEngine]:
    # Defined here, so that it travels to Ray's workers by value: they cannot import a test's modules.
    colour = list(MAGENTA)

    class Watching(ScriptedEngine):
        def add(self, request: ClipRequest) -> None:
            mean = request.frames.frames_THWC.reshape(-1, 3).mean(axis=0)
            sang = all(abs(value - wanted) < 40 for value, wanted in zip(mean, colour, strict=True))
            (folder / f"{'canary' if sang else 'seen'}-{uuid.uuid4().hex}").touch()
            super().add(request)

    return lambda: Watching()


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_the_canary_is_never_heard(
    decoder: str, canary: Canary, tmp_path: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = hostile_files(canary)
    for name, data in files.items():
        (canary.folder / f"{name}.mp4").write_bytes(data)
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        for name in files:
            shard.add(canary.folder / f"{name}.mp4", arcname=f"{name}.mp4")
    seen = tmp_path / "seen"
    seen.mkdir()
    job = parse_job(
        {
            "input": {"videos": [*(str(canary.folder / f"{name}.mp4") for name in files), str(tmp_path / "shard.tar")]},
            "clips": {"seconds": 2},
            "frames": {
                "fps": 1,
                "max_frames": 2,
                "min_frame_pixels": 3136,
                "max_frame_pixels": 3136,
                "decoder": decoder,
            },
            "questions": [{"id": "red", "text": "Is it red?", "type": "yes_no"}],
            "model": {"name": str(model_folder)},
            "output": {"uri": str(tmp_path / "index")},
            "ray": {"decode_workers": 1},
        }
    )
    summary = flow.run(job, engine_factory=_watching_engine(seen))

    assert summary.num_videos_planned == summary.num_videos_answered + summary.num_videos_failed == 2 * len(files)
    assert canary.calls == []
    noted = [path.name.partition("-")[0] for path in seen.iterdir()]
    assert set(noted) == {"seen"}  # some films were shown, none of them the canary
    failures = _read(tmp_path / "index" / "failures")
    # A member of the shard is `.../shard.tar#name.mp4`.
    reasons = [(Path(uri).stem.removeprefix("shard.tar#"), reason) for uri, reason, _ in failures]
    playlists = sorted(name for name in files if not name.startswith(("video-", "avi-")))
    assert sorted(name for name, reason in reasons if reason == "playlist") == sorted(2 * playlists)
    printed = "".join(capfd.readouterr())
    for said in (printed, *(str(row) for row in failures), *_logs()):
        assert canary.text not in said
    for path in (tmp_path / "index").rglob("*"):
        assert path.is_dir() or canary.text.encode() not in path.read_bytes(), path


def _read(folder: Path) -> list[tuple[str, str, str]]:
    return duckdb.sql(f"SELECT video_uri, reason, message FROM '{folder}/**/*.parquet'").fetchall()


def _logs() -> Iterator[str]:
    """What the workers of this run's cluster have printed so far."""
    folder = Path(ray._private.worker._global_node.get_session_dir_path()) / "logs"  # pyright: ignore
    for path in folder.glob("worker*"):
        yield path.read_text(errors="replace")


def test_a_plain_decoder_calls_the_address_of_a_playlist(canary: Canary) -> None:
    playlist = texts.hls(canary.targets["address"])
    frame = decord.VideoReader(io.BytesIO(playlist), num_threads=1)[0].asnumpy()
    assert canary.calls != []
    assert is_canary(frame[None])


def test_a_plain_decoder_reads_the_path_in_a_playlist(canary: Canary) -> None:
    path = canary.folder / "playlist.mp4"
    path.write_bytes(texts.hls(canary.targets["path"]))
    assert is_canary(decord.VideoReader(str(path), num_threads=1)[0].asnumpy()[None])


def test_a_plain_decoder_reads_the_neighbour_of_a_script(canary: Canary) -> None:
    path = canary.folder / "script.mp4"
    path.write_bytes(texts.ffconcat("canary.ts"))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert is_canary(frame[None])


def test_a_plain_decoder_follows_a_movie_to_its_other_file_once_it_is_told_to(canary: Canary) -> None:
    path = canary.folder / "movie.mp4"
    path.write_bytes(movie_without_frames())
    with av.open(str(path), options={"enable_drefs": "1"}) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert is_canary(frame[None])
