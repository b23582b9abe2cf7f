"""What a watched run reads and where it writes: films that fail, jobs, and secrets all around them."""

from __future__ import annotations

import io
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import pyarrow as pa
import pyarrow.csv as pa_csv

from tests.web_server import WebServer


@dataclass(frozen=True)
class Secrets:
    """Each stands where one may stand, and nowhere else."""

    environment: str = field(default_factory=lambda: "canaryenv" + secrets.token_hex(12))
    token_elsewhere: str = field(default_factory=lambda: "canarytok" + secrets.token_hex(12))
    aws: str = field(default_factory=lambda: "canaryaws" + secrets.token_hex(12))
    referred: str = field(default_factory=lambda: "canaryref" + secrets.token_hex(12))
    wrong: str = field(default_factory=lambda: "canarybad" + secrets.token_hex(12))
    signature: str = field(default_factory=lambda: "canarysig" + secrets.token_hex(12))
    contents: str = field(default_factory=lambda: "canarydat" + secrets.token_hex(12))
    other_file: str = field(default_factory=lambda: "canaryfil" + secrets.token_hex(12))


def write_archive(folder: Path, canaries: Secrets, files: list[Any], second: str, web: WebServer, model: Path) -> None:
    secret_file = folder / "secret.txt"
    secret_file.write_text(canaries.other_file)
    good, text = _film(canaries.contents), f"this is no video but {canaries.contents}\n".encode()
    objects = {
        "good.mp4": good,
        "cut.mp4": good[: len(good) // 3],
        "text.mp4": text * 50,
        "box.mp4": b"\0\0\0\x20ftyp" + canaries.contents[:24].encode() + good[32:],
        "points.mp4": f"ffconcat version 1.0\nfile '{secret_file}'\n".encode(),
        "points.m3u8": f"#EXTM3U\n#EXTINF:2,\nfile://{secret_file}\n#EXT-X-ENDLIST\n".encode(),
    }
    for server in files:
        server.mkdir("watched")
    for name, data in objects.items():
        files[0].pipe_file(f"watched/in/{name}", data)
    for name in ("good.mp4", "text.mp4"):
        files[1].pipe_file(f"watched/in/{name}", objects[name])
    web.files = {"/good.mp4": good, "/text.mp4": text}
    signed = f"?X-Amz-Signature={canaries.signature}"
    uris = [f"s3://watched/in/{name}" for name in objects]
    uris += [f"{web.root}{path}{signed}" for path in ("/good.mp4", "/text.mp4", "/missing.mp4")]
    uris += [f"{web.root}/expired.mp4{signed}&Expires=1", str(secret_file)]
    pa_csv.write_csv(pa.table({"uri": uris}), folder / "videos.csv")
    referred = _referred(second, "INDEX_SECRET")
    source: dict[str, Any] = {"videos": str(folder / "videos.csv"), "protocols": ["file", "s3", "http"]}
    job = {
        "input": source,
        "clips": {"seconds": 2},
        "frames": {"fps": 2, "max_frames": 4},
        "questions": [{"id": "red", "text": "Is it red?", "type": "yes_no"}],
        "model": {"name": str(model)},
        "output": {"uri": "s3://watched/index", "storage_options": referred},
        "report": {"on_end": True},
        "ray": {"decode_workers": 1},
    }
    own = {"uri": "s3://watched/index"}
    of_second = {"videos": "s3://watched/in/"}
    denied = _referred(second, "WRONG_SECRET")
    jobs: dict[str, dict[str, Any]] = {
        "job": {},
        "turned": {"input": {**of_second, "storage_options": referred}, "output": own},
        "wrong": {"output": {"uri": "s3://not-there/index"}},
        "denied": {"output": {**own, "storage_options": denied}},
        "denied-input": {"input": {**of_second, "storage_options": denied}},
        "unset": {"output": {**own, "storage_options": _referred(second, "NO_SECRET")}},
    }
    for name, parts in jobs.items():
        (folder / f"{name}.yaml").write_text(json.dumps({**job, **parts}))


def _referred(endpoint: str, variable: str) -> dict[str, str]:
    return {"endpoint_url": endpoint, "key": "${env:INDEX_KEY}", "secret": f"${{env:{variable}}}"}


def _film(secret: str) -> bytes:
    """Four seconds whose file says a secret of itself."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        container.metadata.update({"title": secret, "comment": secret})
        stream = container.add_stream("libx264", rate=4)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(16):
            for packet in stream.encode(av.VideoFrame(64, 64, "yuv420p")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return file.getvalue()
