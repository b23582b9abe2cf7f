"""`python -m tests.docs.picture demo/report.html`: the picture of the pages, of a report that a demo has written."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.browser import find_browser, look
from tests.docs.pages import ROOT

PICTURE = ROOT / "docs" / "report.png"
WIDTH, HEIGHT = 1100, 1560  # down to the chart of what the gate saved


def main(page: Path) -> None:
    browser = find_browser()
    if browser is None:
        sys.exit("there is no browser: python -m tests.install_browser")
    look(page, browser, width=WIDTH, height=HEIGHT, picture=PICTURE, is_whole=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
