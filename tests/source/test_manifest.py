"""Manifests: text stays text, nothing is invented and nothing lost, and columns have the types of their output."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.source.manifest import ColumnTypes, read_manifest
from framegate.pipelines.store import Store
from framegate.schemas.clock import find_zone
from framegate.schemas.column_types import TIMESTAMP, TYPES
from framegate.schemas.errors import InputError

BERLIN = find_zone("Europe/Berlin")
AT = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)


@pytest.fixture
def read(tmp_path: Path):
    def read(name: str, data: str | bytes | pa.Table, **types: Any) -> pa.Table:
        path = tmp_path / name
        if isinstance(data, pa.Table):
            pq.write_table(data, path)
        else:
            path.write_bytes(data.encode() if isinstance(data, str) else data)
        found = read_manifest(Store(), str(path), ColumnTypes(**types))
        inputs = found.inputs if found.inputs is not None else pa.table({})
        return inputs.rename_columns([name.removeprefix("input_") for name in inputs.column_names])

    return read


def column(values: list[str], name: str = "x") -> str:
    lines = io.StringIO()
    csv.writer(lines).writerows([["uri", name], *([f"{n}.mp4", value] for n, value in enumerate(values))])
    return lines.getvalue()


@pytest.mark.parametrize(
    ("texts", "values", "data_type"),
    [
        (["7", "-12", "0", ""], [7, -12, 0, None], pa.int64()),
        (["007", "8"], None, pa.string()),
        (["12E4567", "3"], None, pa.string()),
        (["12345678901234567890"], None, pa.string()),
        (["9223372036854775807"], [2**63 - 1], pa.int64()),
        (["9223372036854775808"], None, pa.string()),
        (["NA", "3"], None, pa.string()),
        (["null", "NaN", "None", "#N/A"], None, pa.string()),
        (["nan"], None, pa.string()),
        (["inf"], None, pa.string()),
        (["true", "false"], None, pa.string()),
        (["+5"], None, pa.string()),
        (["1,5"], None, pa.string()),
        (["1_000"], None, pa.string()),
        (["0x10"], None, pa.string()),
        ([" 7"], None, pa.string()),
        (["٣"], None, pa.string()),
        (["1.5", "2", "-0.25", "3.0"], [1.5, 2.0, -0.25, 3.0], pa.float64()),
        (["1.10", "1.9"], None, pa.string()),
        (["1e5"], None, pa.string()),
        ([".5"], None, pa.string()),
        (["0.30000000000000004"], [0.30000000000000004], pa.float64()),
        (["0.1234567890123456789"], None, pa.string()),
        (["2026-11-21 03:00", "2026-11-21T03:00:00.5+01:00"],
         [datetime(2026, 11, 21, 3, tzinfo=UTC), AT + timedelta(seconds=0.5)], TIMESTAMP),
        (["2026-11-21", "2024-02-29"], [date(2026, 11, 21), date(2024, 2, 29)], pa.date32()),
        (["2026-11-21", "2023-02-29"], None, pa.string()),
        (["2026-11-21", "2026-11-21 03:00"], None, pa.string()),
        (["03:00"], None, pa.string()),
        (["20261121"], [20261121], pa.int64()),
        (["", ""], [None, None], pa.null()),
        (["a\r\nb", 'say "x"', " a ", "\x1b[31m"], None, pa.string()),
    ],
)  # fmt: skip
def test_a_text_stays_one_unless_a_value_gives_back_the_same(read, texts, values, data_type) -> None:
    table = read("list.csv", column(texts))
    assert table.schema.types == [data_type]
    assert table.column("x").to_pylist() == (texts if values is None else values)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8), min_size=1, max_size=6))
def test_what_a_column_is_read_as_gives_back_its_texts(tmp_path_factory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("manifest") / "list.csv"
    path.write_text(column(texts), encoding="utf-8", newline="")
    [values] = read_manifest(Store(), str(path)).inputs.columns  # type: ignore[union-attr]
    for text, value in zip(texts, values.to_pylist(), strict=True):
        assert text == ("" if value is None else str(value)) or float(text) == value


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_delimiters_and_a_byte_order_mark(read, delimiter: str, suffix: str, mark: str) -> None:
    text = f'{mark}uri{delimiter}x,y;z{delimiter}n\na.mp4{delimiter}"1{delimiter}2"{delimiter}3\n'
    text = text.replace("x,y;z", '"x,y;z"')
    for ending in ("\n", "\r\n", "\r"):
        table = read(f"list.{suffix}", text.replace("\n", ending))
        assert table.to_pylist() == [{"x,y;z": f"1{delimiter}2", "n": 3}]
    assert read("list.csv", f"sep={delimiter}\r\n{text.removeprefix(mark)}").to_pylist()[0]["n"] == 3


def test_a_caption_with_line_breaks_makes_no_row_however_large_the_file(read, tmp_path: Path) -> None:
    caption = 'first line\n\n2.mp4,second\r\nthird, with a ""quote""\n' * 8
    rows = [f'{n}.mp4,"{n}: {caption}"' for n in range(8000)]
    table = read("list.csv", "\n".join(["uri,caption", *rows]))
    assert (tmp_path / "list.csv").stat().st_size > 3 << 20
    assert table.num_rows == 8000
    for n, text in enumerate(table.column("caption").to_pylist()):
        assert text == f"{n}: {caption}".replace('""', '"')
    long = "x" * 300_000  # more than Python's own bound of a cell
    assert read("list.csv", f'uri,caption\na.mp4,"{long}"\n').column("caption").to_pylist() == [long]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.csv", "uri,x,x\na.mp4,1,2\n", "has the column 'x' twice"),
        ("a.csv", "uri,uri\na.mp4,b.mp4\n", "has the column 'uri' twice"),
        ("a.csv", "uri,Cam,cam\na.mp4,1,2\n", "'cam' and 'Cam', which SQL does not tell apart"),
        ("a.jsonl", '{"uri": "a.mp4", "x": 1, "x": 2}\n', "has the column 'x' twice"),
        ("a.jsonl", '{"uri": "a.mp4", "x": 1}\n{"uri": "b.mp4", "X": 2}\n', "which SQL does not tell apart"),
        ("a.parquet", pa.table([["a.mp4"], [1], [2]], names=["uri", "x", "x"]), "has the column 'x' twice"),
        ("a.csv", "uri,x\na.mp4,é\n".encode("latin-1"), r"not written in UTF-8 \(byte 0xe9 in line 2\)"),
        ("a.csv", "uri,x\na.mp4,é\n".encode("utf-16"), "written in UTF-16; save it as UTF-8"),
        ("a.csv", "uri,x\na.mp4,e\n".encode("utf-16-le"), "NUL characters"),
        ("a.csv", "uri,x\na.mp4,é\n".encode("utf-32"), "written in UTF-32"),
        ("a.jsonl", '{"uri": "é.mp4"}\n'.encode("cp1252"), "not written in UTF-8"),
        ("a.csv", 'uri,x\na.mp4,"open\nb.mp4,1\n', "no valid CSV at line 3"),
        ("a.csv", 'uri,x\na.mp4,"7\nb.mp4,"8\n', "no valid CSV at line"),
        ("a.csv", "uri,x\na.mp4,1\nb.mp4,1,2\n", "row 2 has 3 cells, and the header 2"),
        ("a.csv", "uri,x\na.mp4\n", "row 1 has 1 cells, and the header 2"),
        ("a.csv", "", "is empty"),
        ("a.jsonl", "\n\n", "is empty"),
        ("a.csv", "path,x\na.mp4,1\n", "has no column `uri`; it has 'path', 'x'"),
        ("a.jsonl", '{"uri": "a.mp4"}\n{"uri": \n', "row 2 is no JSON object"),
        ("a.jsonl", '["a.mp4"]\n', "row 1 is no JSON object, but a list"),
        ("a.jsonl", '{"uri": "a.mp4", "x": NaN}\n', "NaN is no number of JSON"),
        ("a.jsonl", '{"uri": "\\ud83d.mp4"}\n', "surrogate"),
        ("a.jsonl", '{"uri": 7}\n{"uri": null}\n', "has no uri in row 2"),
        ("a.parquet", b"PAR1 no", "cannot be read as parquet"),
        ("a.csv", "uri\nb.mp4\nb.mp4\n", "twice \\(row 2\\)"),
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused_in_one_sentence(read, name: str, data: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as raised:
        read(name, data)
    assert "\n" not in str(raised.value)


def test_json_keeps_its_types_and_every_digit(read) -> None:
    rows = [
        '{"uri": "a.mp4", "i": 7, "t": "0042", "f": 1.50, "b": true, "l": ["a"], "o": {"k": 1},'
        ' "big": 12345678901234567890, "e": 12E4567, "when": "2026-11-21T03:00:00+01:00", "m": 1, "u": "\\u2028x"}',
        '{"uri": "b.mp4", "i": null, "t": "7", "f": 2, "m": "one", "late": 1}',
    ]
    table = read("list.jsonl", "\n".join(rows))
    assert table.to_pylist() == [
        {"i": 7, "t": "0042", "f": 1.5, "b": True, "l": ["a"], "o": {"k": 1}, "big": "12345678901234567890",
         "e": "12E4567", "when": AT, "m": "1", "u": "\u2028x", "late": None},
        {"i": None, "t": "7", "f": 2.0, "b": None, "l": None, "o": None, "big": None, "e": None, "when": None,
         "m": "one", "u": None, "late": 1},
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_time_without_an_offset_is_in_the_zone(read, suffix: str) -> None:
    times = ["2026-07-01 00:30", "2026-12-31T23:30:00Z", "2026-10-25 02:30:00"]
    wanted = [
        datetime(2026, 6, 30, 22, 30, tzinfo=UTC), datetime(2026, 12, 31, 23, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),  # of two, the earlier one
    ]  # fmt: skip
    if suffix == "csv":
        data: Any = column(times, "taken")
    elif suffix == "jsonl":
        data = "\n".join(json.dumps({"uri": f"{n}.mp4", "taken": time}) for n, time in enumerate(times))
    else:
        wanted[1] = datetime(2026, 12, 31, 22, 30, tzinfo=UTC)
        naive = [datetime.fromisoformat(time.rstrip("Z")) for time in times]
        data = pa.table({"uri": ["0.mp4", "1.mp4", "2.mp4"], "taken": pa.array(naive, pa.timestamp("ns"))})
    table = read(f"list.{suffix}", data, zone=BERLIN)
    assert table.schema.types == [TIMESTAMP]
    assert table.column("taken").to_pylist() == wanted


@pytest.mark.parametrize(
    ("word", "good", "bad"),
    [
        ("timestamp", "20261121T030000+0100", "21.11.2026 03:00"),
        ("timestamp", "2026-11-21", "1763690400"),
        ("timestamp", "2026-11-21t03:00z", "2026-11-21 03:00 pm"),
        ("timestamp", "2026-11-21 03:00", "2026-11-21x03:00"),
        ("timestamp", "2026-11-21 03:00", "2026-13-21 03:00"),
        ("timestamp", "2026-11-21 03:00", "yesterday"),
        ("date", "2026-11-21", "21/11/2026"),
        ("date", "2026-11-21", "2026-11-21 03:00"),
        ("boolean", "true", "yes"),
        ("boolean", "false", "1"),
        ("integer", "007", "7.5"),
        ("integer", "+7", "12E4567"),
        ("number", "12.50", "nan"),
        ("number", "1e3", "12E4567"),
        ("number", ".5", "0,5"),
    ],
)
def test_a_declared_type_is_kept_and_what_does_not_fit_is_named(read, word, good: str, bad: str) -> None:
    table = read("list.csv", column([good, ""]), declared={"x": TYPES[word]})
    assert table.schema.types == [TYPES[word]]
    assert table.column("x").null_count == 1
    with pytest.raises(
        InputError, match=rf"has '{bad}' in row 2 of the column 'x', which input.columns declares as {word}"
    ):
        read("list.csv", column([good, bad]), declared={"x": TYPES[word]})


@pytest.mark.parametrize(
    ("fixed", "data", "sentence"),
    [
        (pa.int64(), column(["7", "007"]), "'007' in row 2 .* is integer in this output since its first value"),
        (pa.int64(), column(["7", "x\x1b[2J"]), r"'x\\x1b\[2J' in row 2"),
        (pa.int64(), pa.table({"uri": ["a", "b"], "x": [1.0, 2.5]}), "'2.5' in row 2"),
        (pa.int64(), pa.table({"uri": ["a", "b"], "x": [None, True]}), "'True' in row 2"),
        (TIMESTAMP, pa.table({"uri": ["a", "b"], "x": [5, 6]}), "'5' in row 1"),
        (pa.float64(), pa.table({"uri": ["a", "b"], "x": [5, 2**53 + 1]}), f"'{2**53 + 1}' in row 2"),
        (pa.date32(), pa.table({"uri": ["a"], "x": [AT]}), "in row 1 .* is date in this output"),
        (pa.string(), pa.table({"uri": ["a"], "x": [["l"]]}), "in row 1"),
        (pa.list_(pa.int64()), '{"uri": "a", "x": [1]}\n{"uri": "b", "x": ["b"]}\n', "in row 2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_output_names_row_and_value(read, fixed: pa.DataType, data: Any, sentence: str) -> None:
    name = "list.parquet" if isinstance(data, pa.Table) else "list.jsonl" if data.startswith("{") else "list.csv"
    with pytest.raises(InputError, match=sentence):
        read(name, data, fixed={"x": fixed})


@pytest.mark.parametrize(
    ("fixed", "data", "values"),
    [
        (pa.string(), column(["7", "NA", ""]), ["7", "NA", None]),
        (pa.string(), '{"uri": "a", "x": 7}\n{"uri": "b", "x": 1.50}\n', ["7", "1.50"]),
        (pa.string(), '{"uri": "a", "x": true}\n', ["true"]),
        (pa.string(), pa.table({"uri": ["a", "b"], "x": [7, None]}), ["7", None]),
        (pa.string(), pa.table({"uri": ["a", "b"], "x": [0.5, 1.0]}), ["0.5", "1.0"]),
        (pa.string(), pa.table({"uri": ["a"], "x": [Decimal("1.50")]}), ["1.50"]),
        (pa.int64(), pa.table({"uri": ["a"], "x": pa.array([7], pa.int8())}), [7]),
        (pa.int64(), pa.table({"uri": ["a"], "x": [7.0]}), [7]),
        (pa.int64(), column(["", ""]), [None, None]),
        (pa.int64(), '{"uri": "a", "x": "7"}\n', [7]),
        (pa.float64(), column(["3", "12.50"]), [3.0, 12.5]),
        (TIMESTAMP, column(["2026-11-21 02:00"]), [AT]),
        (TIMESTAMP, pa.table({"uri": ["a"], "x": [date(2026, 11, 21)]}), [datetime(2026, 11, 21, tzinfo=UTC)]),
        (pa.timestamp("us"), column(["2026-11-21T03:00+01:00"]), [AT.replace(tzinfo=None)]),
        (pa.decimal128(6, 2), column(["1.5"]), [Decimal("1.50")]),
        (pa.list_(pa.int64()), '{"uri": "a", "x": [1]}\n{"uri": "b", "x": []}\n', [[1], []]),
    ],
)  # fmt: skip
def test_a_later_manifest_is_read_in_the_types_of_the_output(read, fixed: pa.DataType, data: Any, values: list) -> None:
    name = "list.parquet" if isinstance(data, pa.Table) else "list.jsonl" if data.startswith("{") else "list.csv"
    table = read(name, data, fixed={"x": fixed})
    assert table.schema.types == [fixed]
    assert table.column("x").to_pylist() == values


def test_a_column_that_partitions_take_the_time_of_holds_times(read) -> None:
    times = frozenset({"taken"})
    with pytest.raises(
        InputError,
        match=r"'soon' in row 2 of the column 'taken', which output\.partition_by or input\.started_at takes for",
    ):
        read("list.csv", column(["2026-11-21 03:00", "soon"], "taken"), times=times)
    texts = pa.table({"uri": ["a", "b"], "taken": ["2026-11-21 03:00", "soon"]})
    with pytest.raises(InputError, match="'soon' in row 2"):
        read("list.parquet", texts, times=times)
    with pytest.raises(InputError, match="'soon' in row 2"):
        read("list.parquet", texts, times=times, fixed={"taken": pa.string()})
    assert read("list.parquet", texts.slice(0, 1), times=times).schema.types == [TIMESTAMP]
    assert read("list.csv", column(["2026-11-21"], "taken"), times=times).schema.types == [pa.date32()]
