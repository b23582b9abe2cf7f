"""Checks of infra/ by the real tools: `make test-infra`. Anywhere else nothing here is collected.

Each folder is a part, with an environment of its own; `step` makes it and runs the part's tests in it.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PART = os.environ.get("FRAMEGATE_INFRA")

collect_ignore_glob = [] if PART else ["*"]
