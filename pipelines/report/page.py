"""One page of HTML from a report: no script, nothing from a network, whatever stands in names and answers.

Every text is escaped twice over: as HTML by the template engine, and before that, characters that would turn the
direction of writing or that nobody sees are written out. A policy in the page's head forbids scripts and requests.
"""

from __future__ import annotations

import base64
import json
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from framegate.pipelines.report import say
from framegate.pipelines.report.drawings import MAX_LANES, draw_all
from framegate.pipelines.report.figures import Report
from framegate.pipelines.report.saving import MIN_ROWS
from framegate.schemas.escape import escape, escape_json
from framegate.schemas.label import MIN_LABELS

TEMPLATE = "page.html"
STYLE = "page.css"
UTC = ZoneInfo("UTC")


def render_page(report: Report) -> str:
    """The page as text, to be stored as UTF-8."""
    zone = ZoneInfo(report.time_zone)
    page = make_environment(zone, report.cost.currency).get_template(TEMPLATE)
    return page.render(
        report=report,
        charts=draw_all(report),
        style=Markup(read_packaged(STYLE)),
        version=version("framegate"),
        min_rows=MIN_ROWS,
        min_labels=MIN_LABELS,
        max_lanes=MAX_LANES,
    )


def make_environment(zone: ZoneInfo = UTC, currency: str = "EUR") -> Environment:
    """What templates are rendered with: everything is escaped."""
    environment = Environment(
        loader=FunctionLoader(read_packaged), autoescape=True, undefined=StrictUndefined, finalize=_printable,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "number": say.say_number,
        "share": say.say_share,
        "length": say.say_length,
        "second": say.say_second,
        "money": partial(say.say_money, currency=currency),
        "time": partial(say.say_time, zone=zone),
        "jpeg": _data_uri,
        "exact": _exact,
    }
    return environment


def read_packaged(name: str) -> str:
    """A template or a style sheet."""
    return files("framegate.pipelines.report").joinpath(name).read_text(encoding="utf-8")


def _printable(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Markup):
        return escape(value)
    return value


def _exact(text: str) -> str:
    """A text for the script of a page, which reads it as JSON: no character of it changes on the way."""
    return escape_json(json.dumps(text))


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
