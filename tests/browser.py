"""A real browser for tests of pages: headless Chromium over its DevTools protocol.

seen = look(path, browser, width=390)
assert not seen.errors and not seen.requests and not seen.too_wide
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp

FOLDER: Final = Path(sys.prefix) / "browser"
"""Where `tests.install_browser` puts one."""

SECONDS: Final = 120.0
_NAMES: Final = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome", "google-chrome-stable")
_FLAGS: Final = (
    "--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--font-render-hinting=none",
    "--remote-debugging-port=0",
)  # fmt: skip
# What reaches beyond the window. On a telephone the window grows with it, so that its own width says nothing.
_TOO_WIDE: Final = """
[...document.querySelectorAll("body *")].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width > 0 && (box.right > WIDTH + 0.5 || box.left < -0.5);
}).map(e => `${e.tagName} ${(e.textContent || "").trim().slice(0, 60)}`)
"""


@dataclass(frozen=True, kw_only=True)
class Browser:
    """A program, and the folder of the libraries and letters that came with it; None: those of the system."""

    program: Path
    folder: Path | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        if self.folder is None:
            return os.environ
        return {**os.environ, "LD_LIBRARY_PATH": str(self.folder / "lib"), "FONTCONFIG_PATH": str(self.folder)}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a browser says of a page. `requests`: every address that was asked for but the page's own."""

    width: int
    errors: list[str]
    requests: list[str]
    too_wide: list[str]
    text: str
    values: dict[str, Any] = field(default_factory=dict)


def find_browser() -> Browser | None:
    """$FRAMEGATE_BROWSER, one on the PATH, or the one that is unpacked; None where there is none."""
    if named := os.environ.get("FRAMEGATE_BROWSER"):
        return Browser(program=Path(named))
    for name in _NAMES:
        if (found := shutil.which(name)) is not None:
            return Browser(program=Path(found))
    ours = FOLDER / "chromium"
    return Browser(program=ours, folder=FOLDER) if ours.exists() else None


def look(
    page: Path,
    browser: Browser,
    *,
    width: int,
    height: int = 900,
    scheme: Literal["light", "dark"] = "light",
    picture: Path | None = None,
    is_whole: bool = True,
    is_printed: bool = False,
    values: Mapping[str, str] | None = None,
) -> Seen:
    """Opens a file in a window of that size. `picture`: a PNG of the page, the whole of it or what the window shows.
    `is_printed`: as it would be on paper. `values`: scripts by name."""
    return asyncio.run(
        asyncio.wait_for(
            _look(page, browser, width, height, scheme, picture, is_whole, is_printed, values or {}), SECONDS
        )
    )


async def _look(
    page: Path,
    browser: Browser,
    width: int,
    height: int,
    scheme: str,
    picture: Path | None,
    is_whole: bool,
    is_printed: bool,
    values: Mapping[str, str],
) -> Seen:
    async with _connected(browser) as devtools:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await devtools.ask("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await devtools.ask("Emulation.setEmulatedMedia", features=features, media="print" if is_printed else "screen")
        for domain in ("Page", "Runtime", "Network", "Log"):
            await devtools.ask(f"{domain}.enable")
        address = page.resolve().as_uri()
        await devtools.ask("Page.navigate", url=address)
        await devtools.event("Page.loadEventFired")
        seen = Seen(
            width=await devtools.value("document.documentElement.scrollWidth"),
            too_wide=await devtools.value(_TOO_WIDE.replace("WIDTH", str(width))),
            text=await devtools.value("document.body.innerText"),
            values={name: await devtools.value(script) for name, script in values.items()},
            errors=devtools.errors,
            requests=[url for url in devtools.requests if url != address and not url.startswith("data:")],
        )
        if picture is not None:
            shot = await devtools.ask("Page.captureScreenshot", format="png", captureBeyondViewport=is_whole)
            picture.write_bytes(base64.b64decode(shot["data"]))
        return seen


class _DevTools:
    """One tab, over a web socket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._session: str | None = None
        self._events: list[str] = []
        self.errors: list[str] = []
        self.requests: list[str] = []

    async def open_tab(self) -> None:
        target = await self.ask("Target.createTarget", url="about:blank")
        attached = await self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        session = {} if self._session is None else {"sessionId": self._session}
        await self._socket.send_str(json.dumps({"id": number, "method": method, "params": parameters, **session}))
        while True:
            message = await self._receive()
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]

    async def event(self, name: str) -> None:
        while name not in self._events:
            await self._receive()

    async def value(self, script: str) -> Any:
        answer = await self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def _receive(self) -> dict[str, Any]:
        message = json.loads(await self._socket.receive_str())
        parameters = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(parameters["exceptionDetails"]["text"])
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                self.errors.append(parameters["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case str(name):
                self._events.append(name)
        return message


@contextlib.asynccontextmanager
async def _connected(browser: Browser) -> AsyncIterator[_DevTools]:
    with tempfile.TemporaryDirectory(prefix="framegate-browser-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            str(browser.program),
            *_FLAGS,
            f"--user-data-dir={profile}",
            env=dict(browser.environment),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            address = await _address(process)
            async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
                devtools = _DevTools(socket)
                await devtools.open_tab()
                yield devtools
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    said = b""
    while line := await process.stderr.readline():
        said += line
        if found := re.search(rb"DevTools listening on (ws://\S+)", line):
            return found[1].decode()
    raise AssertionError(f"the browser ended before it listened: {said.decode(errors='replace')[-2000:]}")
