"""infra/sql: the views as statements, made from the code. `python -m tests.docs.sql_files` writes them anew."""

from __future__ import annotations

from typing import Final

from framegate.pipelines.lab.dock.demo import BANK
from framegate.pipelines.results.dialects import DIALECTS
from framegate.pipelines.results.exported import Exported, export_views
from tests.docs.pages import ROOT

FOLDER: Final = ROOT / "infra" / "sql"
DEMO: Final = Exported(
    location="s3://index/cameras",
    inputs=["input_dock"],
    question_types={entry.question.id: entry.question.type for entry in BANK},
)
"""The questions of the demo, and one column of a manifest."""


def make_files() -> dict[str, str]:
    """The text of each file, by its path below infra/sql. Numbers are the order in which views can be made."""
    return {
        f"{dialect}/{number:02d}_{name}.sql": statement
        for dialect in DIALECTS
        for number, (name, statement) in enumerate(export_views(DEMO, dialect), start=1)
    }


if __name__ == "__main__":
    for path in FOLDER.glob("*/*.sql"):
        path.unlink()
    for name, text in make_files().items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text, encoding="utf-8")
