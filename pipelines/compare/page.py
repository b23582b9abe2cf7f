"""A comparison as one page of HTML that loads nothing and runs no script."""

from __future__ import annotations

from typing import Any, Final

from markupsafe import Markup

from framegate.pipelines.compare.figures import Comparison
from framegate.pipelines.compare.picture import draw_comparison
from framegate.pipelines.compare.tables import Rows, difference_rows, job_rows, question_rows, say_rows
from framegate.schemas.escape import escape

_STYLE: Final = (
    "body{margin:24px auto;max-width:1080px;padding:0 16px;color:#1c2430;background:#ffffff;"
    "font:15px/1.5 system-ui,'Open Sans',Arial,sans-serif;overflow-wrap:anywhere}"
    "svg{max-width:100%;height:auto}div{overflow-x:auto}table{border-collapse:collapse;margin:0 0 24px}"
    "th,td{padding:4px 10px;border-bottom:1px solid #dde2e8;text-align:left;font-variant-numeric:tabular-nums}"
)


def render_comparison(found: Comparison) -> str:
    """The page. Every text is escaped."""
    parts = [Markup("<p>{}</p>").format(escape(line)) for line in say_rows(found)]
    parts.append(draw_comparison(found))
    for title, rows in (
        ("Jobs", job_rows(found)),
        (f"Against {found.jobs[0].job}", difference_rows(found)),
        ("Right answers by question", question_rows(found)),
    ):
        parts.append(Markup("<h2>{}</h2><div>{}</div>").format(escape(title), _table(rows)))
    return Markup(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"/>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>"
        '<meta name="viewport" content="width=device-width"/><title>Framegate: strategies compared</title>'
        "<style>{}</style></head><body><h1>Strategies compared</h1>{}</body></html>\n"
    ).format(Markup(_STYLE), Markup("").join(parts))


def _table(rows: Rows) -> Markup:
    names = list(rows[0])
    head = Markup("").join(Markup("<th>{}</th>").format(escape(name)) for name in names)
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(_cell(row[name])) for name in names))
        for row in rows
    )
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, body)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))
