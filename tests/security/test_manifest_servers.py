"""Attacks by web servers that a manifest names: redirects to elsewhere, and addresses of the machine's own services."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines.source.find import find_videos
from framegate.pipelines.source.found import to_videos
from framegate.pipelines.store import Store
from framegate.schemas.config import InputConfig
from framegate.schemas.errors import (
    UnsafeAddress,
)
from tests.security.manifest_rows import CANARY, find
from tests.web_server import WebServer

REDIRECTS: list[Any] = [
    pytest.param(target, said, id=name)
    for name, target, said in [
        ("other-host", "http://evil.example/a.mp4", "another place (http://evil.example)"),
        ("other-port", "{other}/a.mp4", "another place (http://127.0.0.1)"),
        ("other-name-of-this-host", "http://localhost:{port}/a.mp4", "another place (http://localhost)"),
        ("metadata-service", "http://169.254.169.254/latest/meta-data", "another place (http://169.254.169.254)"),
        ("link-local-ipv6", "http://[fe80::1]/a.mp4", "another place"),
        ("file", "file:///etc/passwd", "another place (file://)"),
        ("ftp", "ftp://127.0.0.1:{port}/a.mp4", "another place (ftp://127.0.0.1)"),
        ("https-on-the-same-port", "https://127.0.0.1:{port}/a.mp4", "another place (https://127.0.0.1)"),
        ("two-slashes", "//evil.example/a.mp4", "another place (http://evil.example)"),
        ("user-before-the-host", "http://me:" + CANARY + "@127.0.0.1:{port}/a.mp4", "another place (http://127.0.0.1)"),
        ("host-as-user", "http://127.0.0.1:{port}@evil.example/a.mp4", "another place (http://evil.example)"),
        ("no-port", "http://127.0.0.1:99999999/a.mp4", "no address"),
        ("by-way-of-itself", "/b.mp4", "another place (http://evil.example)"),
    ]
]
ADDRESSES: list[Any] = [
    pytest.param(host, said, id=name)
    for name, host, said in [
        ("metadata", "169.254.169.254", "a cloud's metadata service"),
        ("metadata-ipv6", "[fd00:ec2::254]", "a cloud's metadata service"),
        ("metadata-mapped", "[::ffff:169.254.169.254]", "a cloud's metadata service"),
        ("metadata-nat64", "[64:ff9b::a9fe:a9fe]", "a cloud's metadata service"),
        ("metadata-6to4", "[2002:a9fe:a9fe::]", "a cloud's metadata service"),
        ("metadata-alibaba", "100.100.100.200", "a cloud's metadata service"),
        ("metadata-azure", "168.63.129.16", "a cloud's metadata service"),
        ("metadata-decimal", "2852039166", "a cloud's metadata service"),
        ("metadata-hexadecimal", "0xA9FEA9FE", "a cloud's metadata service"),
        ("metadata-octal", "0251.0376.0251.0376", "a cloud's metadata service"),
        ("metadata-short", "169.254.43518", "a cloud's metadata service"),
        ("link-local", "169.254.1.1", "a link-local address"),
        ("link-local-ipv6", "[fe80::1]", "a link-local address"),
        ("every-address", "0.0.0.0", "no address of one machine"),
        ("every-address-ipv6", "[::]", "no address of one machine"),
        ("multicast", "224.0.0.1", "no address of one machine"),
        ("name-that-leads-to-metadata", "rebind-169.example", "leads to 169.254.169.254"),
        ("name-that-leads-here", "rebind-127.example", "leads to 127.0.0.1"),
        ("name-with-a-dot-at-its-end", "rebind-127.example.", "leads to 127.0.0.1"),
    ]
]


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer({"/a.mp4": b"film", "/c.mp4": b"film"}) as running:
        yield running


def test_web_addresses_of_a_manifest_are_read_where_they_are_asked_for(server: WebServer, films: Path) -> None:
    line = f"{server.root}/a.mp4"
    [refused] = find(films, line)
    assert refused.refusal is not None
    assert refused.refusal.reason == "protocol_refused"
    assert server.requests == []
    [read] = find(films, line, protocols=("http",))
    assert (read.refusal, read.size_bytes) == (None, 4)
    [other] = find(films, line, protocols=("https", "file"))
    assert other.refusal is not None
    assert other.refusal.reason == "protocol_refused"


def test_a_manifest_on_a_web_server_may_name_what_lies_beside_it_and_no_more(server: WebServer) -> None:
    server.files["/lists/l.csv"] = f"uri\nb.mp4\n{server.root}/a.mp4\nhttp://127.0.0.1:9/x.mp4\n".encode()
    server.files["/lists/b.mp4"] = b"film"
    found = to_videos(find_videos(InputConfig(videos=f"{server.root}/lists/l.csv")))
    assert {video.uri.rpartition("/")[2]: video.refusal and video.refusal.reason for video in found} == {
        "b.mp4": None,
        "a.mp4": "protocol_refused",
        "x.mp4": "protocol_refused",
    }
    assert {target for _, target, _ in server.requests} == {"/lists/l.csv", "/lists/b.mp4"}


@pytest.mark.parametrize(("target", "said"), REDIRECTS)
def test_a_redirect_to_another_place_is_a_row_and_is_not_followed(
    target: str, said: str, server: WebServer, films: Path
) -> None:
    port = server.root.rpartition(":")[2]
    with WebServer({"/a.mp4": CANARY.encode()}) as other:
        server.redirects["/a.mp4"] = target.format(other=other.root, port=port)
        server.redirects["/b.mp4"] = "http://evil.example/a.mp4"
        bad, good = find(films, f"{server.root}/a.mp4", f"{server.root}/c.mp4", protocols=("http",))
        assert (bad.refusal and bad.refusal.reason, good.refusal) == ("address_refused", None)
        assert bad.refusal is not None
        assert said in bad.refusal.message
        assert CANARY not in bad.refusal.message
        assert other.requests == []
        with pytest.raises(UnsafeAddress, match="not followed"):
            Store(patience_seconds=0.2).read(f"{server.root}/a.mp4")


def test_a_server_that_redirects_after_the_plan_gives_no_other_bytes(server: WebServer, films: Path) -> None:
    [video] = find(films, f"{server.root}/a.mp4", protocols=("http",))
    server.redirects["/a.mp4"] = "http://169.254.169.254/latest"
    with Store().open_pinned(video) as pinned, pytest.raises(UnsafeAddress) as caught:
        pinned.read(0, 4)
    assert caught.value.reason == "address_refused"


def test_a_redirect_on_the_same_server_is_followed(server: WebServer) -> None:
    server.redirects["/moved.mp4"] = "/a.mp4"
    server.redirects["/far.mp4"] = f"{server.root}/moved.mp4"
    assert Store().read(f"{server.root}/far.mp4") == b"film"


@pytest.mark.parametrize(("host", "said"), ADDRESSES)
def test_no_address_of_the_machines_own_services_is_asked(
    host: str, said: str, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    look_up, connected = socket.getaddrinfo, list[object]()

    def resolve(name: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        shown = name.decode() if isinstance(name, bytes) else str(name)
        if shown.startswith("rebind-"):
            name = "169.254.169.254" if "169" in shown else "127.0.0.1"
        return look_up(name, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: connected.append(address))
    began = time.monotonic()
    [found] = find(films, f"http://{host}/a.mp4?{CANARY}", protocols=("http",))
    assert found.refusal is not None
    assert (found.refusal.reason, said in found.refusal.message) == ("address_refused", True), found.refusal
    assert CANARY not in found.refusal.message
    assert connected == []
    assert time.monotonic() - began < 5
