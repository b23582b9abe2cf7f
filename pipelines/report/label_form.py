"""A page of HTML on which a person says which of two answers is right. It loads nothing, and saves a file.

As on the page of a report, every text is escaped, and a policy in the page's head forbids requests. Unlike that one it
has a script, which writes the file; the policy has its digest, and no other script runs.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from markupsafe import Markup

from framegate.pipelines.report.links import link_to
from framegate.pipelines.report.page import STYLE, make_environment, read_packaged

TEMPLATE = "label_form.html"
SCRIPT = "label_form.js"
MAX_CHOICES = 8
"""Options of a question, up to which each can be chosen; another one is written."""


def render_label_form(rows: Sequence[Mapping[str, Any]], *, config_id: str, link: str | None) -> str:
    """`rows` are those that are wanted (`certify.label_list`), `link` the job's template for links."""
    shown = [
        {
            **row,
            "place": place,
            "link": link_to(row["video_uri"], row["start_seconds"], link),
            "answers": _answers(row),
        }
        for place, row in enumerate(rows)
    ]
    page, script = make_environment().get_template(TEMPLATE), read_packaged(SCRIPT)
    return page.render(
        rows=shown,
        num_rows=len(shown),
        config_id=config_id,
        style=Markup(read_packaged(STYLE)),
        script=Markup(script),
        script_digest=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        version=version("framegate"),
    )


def _answers(row: Mapping[str, Any]) -> list[str]:
    """What can be chosen: both answers, and all others that there are, of yes and no, or of few options."""
    options = list(row["question_options"] or ())
    others = ["yes", "no"] if row["answer_type"] == "yes_no" else options if len(options) <= MAX_CHOICES else []
    return list(dict.fromkeys(value for value in (row["first_value"], row["second_value"], *others) if value))
