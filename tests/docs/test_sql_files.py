"""infra/sql is as the code is now."""

from __future__ import annotations

from tests.docs.sql_files import FOLDER, make_files


def test_the_files_are_those_of_the_code() -> None:
    there = {str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8") for path in FOLDER.glob("*/*.sql")}
    assert there == make_files(), "run: .venv/bin/python -m tests.docs.sql_files"
