"""The output as read-only SQL views, which `pipelines.results.view_makers` lists.

A view is made when a statement mentions it, so that nothing is done for the others.

DuckDB reads the sealed files itself and leaves out partitions and row groups that a filter rules out. Which files there
are and which columns they have is known before (`pipelines.results.sealed_files`), so that it opens those alone that a
query needs. It reaches them through a file system that holds nothing else and cannot write (`SealedFilesystem`). Before
it sees a statement of the user's, every other file system is switched off, and so are extensions and Python variables,
and its settings are locked. `select` accepts one SELECT or EXPLAIN. That alone would not do: a WITH of DuckDB 2 can
hold a COPY TO, and EXPLAIN ANALYZE runs one. No statement can read beyond the output or write anywhere.

A query sees each file at one version: the one that was listed. Where a file has changed since, the query fails
(`VersionChanged`), and `query` asks it again of the files as they are then.
"""

from __future__ import annotations

import re
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeVar

import duckdb
import pyarrow as pa

from framegate.pipelines.commit.output import Output
from framegate.pipelines.results.current import Records
from framegate.pipelines.results.interrupt import interruptible
from framegate.pipelines.results.meanings import comment_all
from framegate.pipelines.results.named_files import create_tables
from framegate.pipelines.results.opened import Opened
from framegate.pipelines.results.rule_makers import rule_makers
from framegate.pipelines.results.sealed_files import EMPTY_TABLE, read_sealed_tables
from framegate.pipelines.results.statements import check_statement, one_sentence
from framegate.pipelines.results.terms import QueryTerms
from framegate.pipelines.results.view_makers import CLIPS_FOLDER, FOLDERS, MAKERS, Maker, Making
from framegate.pipelines.results.view_sql import text_literal
from framegate.pipelines.results.wordings import config_of_job
from framegate.pipelines.store.sealed_filesystem import PROTOCOL
from framegate.schemas.config import OutputConfig
from framegate.schemas.errors import ConfigError, ObjectNotFound, VersionChanged
from framegate.schemas.rules import Rules

MAX_TRIES: Final = 3
BATCH_ROWS: Final = 10_000
REMOTE_THREADS: Final = 16  # most of them wait for a request at any time

_OF_LOCAL_FILES: Final = {"enable_external_file_cache": "false", "parquet_metadata_cache": "true"}
"""DuckDB keeps what it read of files that are not its own, which costs a fifth of a scan. The system's cache does."""

_LOCKS: Final = {
    "enable_progress_bar": "false",  # DuckDB draws it on standard output, into the rows, once a query takes 2 s
    "allowed_directories": f"['{PROTOCOL}://']",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",
    "lock_configuration": "true",
}
_ABOUT_ALL: Final = re.compile(
    r"duckdb_|information_schema|pg_|sqlite_|\b(show|pragma\w*)\b|\bquery(_table)?\s*\(|^\W*desc(ribe)?\W*$",
    re.IGNORECASE,
)
"""What lists views, or may put their names together."""
_MAY_BE_ABOUT_CLIPS: Final = re.compile(rf"\b(stored_)?clips\b|{_ABOUT_ALL.pattern}", re.IGNORECASE)
_SHOWS_COMMENTS: Final = re.compile("duckdb_columns|comment", re.IGNORECASE)
_Result = TypeVar("_Result")
Consume = Callable[[pa.RecordBatchReader], _Result]
"""Takes the rows of a statement as they come. It is called again from the start where a file changed meanwhile."""
_NO_TERMS: Final = QueryTerms()


@dataclass(frozen=True, kw_only=True)
class Views(Opened):
    """A connection to the views and nothing else. `made`: those that are there. `making`: what they are made with.
    `makers`: all of them by name, events of rules among them."""

    making: Making
    makers: Mapping[str, Maker] = field(default_factory=lambda: MAKERS)
    made: set[str] = field(default_factory=set)

    def make_mentioned(self, sql: str) -> None:
        """Makes the views that a statement is about, those that are not there yet. Raises StorageError."""
        mentioned = {view for view in self.makers if re.search(rf"\b{view}\b", sql, re.IGNORECASE)}
        if _ABOUT_ALL.search(sql) is not None:
            mentioned = {*self.makers}
        elif len(mentioned) > 1:  # one may be a mere name of a column, and a log is read for `videos`
            mentioned &= self._tables_of(sql) or mentioned
        for view in self.makers:
            if view in mentioned:
                self.make(view)

    def _tables_of(self, sql: str) -> set[str]:
        """The tables that a statement reads, in lower case; none where DuckDB cannot tell before they are there."""
        try:
            return {name.lower() for name in self.connection.get_table_names(sql)}
        except duckdb.Error:
            return set()

    def make_tables(self) -> None:
        """Makes the views of what is sealed, for which no log and no record of a run is read."""
        self.make("failures")

    def make_all(self) -> None:
        """Makes every view. Raises StorageError."""
        for view in self.makers:
            self.make(view)

    def make(self, view: str) -> None:
        """Makes a view and those that it is made of, where they are not there yet. Raises StorageError."""
        if view in self.made:
            return
        for needed in self.makers[view].needs:
            self.make(needed)
        self.makers[view].make(self.making)
        self.made.add(view)

    def comment(self) -> None:
        """Makes all views and stores the meanings of all columns, which takes some 15 ms."""
        self.make_all()
        comment_all(self, self.makers)


@contextmanager
def open_views(
    output_uri: str,
    storage_options: Mapping[str, object],
    *,
    with_inputs: bool = True,
    config_id: str | None = None,
    job: str | None = None,
    rules: Rules | None = None,
    with_clips: bool = True,
    terms: QueryTerms = _NO_TERMS,
    reads_directly: bool = False,
) -> Iterator[Views]:
    """The views of an output as it is now. Raises ObjectNotFound where there is no output, StorageError.

    `with_inputs`: the views have the columns of manifests as well, for which files of older outputs must be opened.
    `config_id`: they have its rows alone. `job`: those of the config_id under which a job file of that name ran last;
    where it never ran, all. `rules`: their events are views, too. Without `with_clips` the view `clips` is empty, which
    spares a listing. `terms`: how statements run, and the files that are tables beside the views. `reads_directly`:
    DuckDB opens local files itself, a fifth faster; only `read` and `select` then see to it that they stay the same.
    """
    with tempfile.TemporaryDirectory(prefix="framegate-sql-") as spill, duckdb.connect() as connection:
        views = read_output(
            connection,
            output_uri,
            storage_options,
            with_inputs=with_inputs,
            config_id=config_id,
            job=job,
            rules=rules,
            with_clips=with_clips,
            reads_directly=reads_directly,
        )
        if views.paths:
            allowed = ", ".join(map(text_literal, views.paths.values()))
            connection.execute(f"SET allowed_paths = [{allowed}]")
        connection.execute("SET temp_directory = $spill", {"spill": spill})
        try:
            _set(connection, terms.settings(lambda: views.making.records.time_zone))
        except duckdb.Error as error:  # a zone, say, that Python's database has and DuckDB's does not
            raise ConfigError(f"a setting of the query is refused: {one_sentence(error)}") from error
        create_tables(connection, views.files, views.output.store, terms.files)
        _set(connection, _LOCKS)
        hidden = {name.lower() for name in terms.files}
        yield replace(views, makers={name: made for name, made in views.makers.items() if name not in hidden})


def _set(connection: duckdb.DuckDBPyConnection, settings: Mapping[str, str]) -> None:
    if settings:
        connection.execute("; ".join(f"SET {setting} = {value}" for setting, value in settings.items()))


def read_output(
    connection: duckdb.DuckDBPyConnection,
    output_uri: str,
    storage_options: Mapping[str, object],
    *,
    with_inputs: bool = True,
    config_id: str | None = None,
    job: str | None = None,
    rules: Rules | None = None,
    with_clips: bool = True,
    reads_directly: bool = False,
) -> Views:
    """The views of an output on a connection that may be open for more than them. Takes and raises what `open_views`
    does."""
    output = Output.open(OutputConfig.made(uri=output_uri, storage_options=dict(storage_options)))
    folders = [folder for folder, _ in FOLDERS.values() if folder != CLIPS_FOLDER or with_clips]
    sealed = read_sealed_tables(output, folders, with_inputs=with_inputs)
    files = sealed.files
    if not files.names and not output.store.is_folder(output_uri):
        raise ObjectNotFound(f"there is no output at {output_uri}: nothing lies below it")
    connection.register_filesystem(files)
    settings = {"threads": str(REMOTE_THREADS)} if files.is_remote else _OF_LOCAL_FILES
    connection.execute("; ".join(f"SET {setting} = {value}" for setting, value in settings.items()))
    records = Records(output)
    if config_id is not None and config_id not in sealed.records:
        known = ", ".join(sorted(sealed.records)) or "none"
        raise ConfigError(f"no answers are sealed under the config_id {config_id}; the output has {known}")
    if job is not None and config_id is None:
        config_id = config_of_job(records.runs, job, sealed.records)
    opened = Opened(
        output=output,
        connection=connection,
        files=files,
        tables={CLIPS_FOLDER: EMPTY_TABLE, **sealed.tables},
        records=sealed.records,
        config_id=config_id,
        paths=files.direct_paths() if reads_directly else {},
    )
    makers = MAKERS if rules is None else {**MAKERS, **rule_makers(rules)}
    return Views(**vars(opened), making=Making(opened, records), makers=makers)


def query(
    output_uri: str,
    storage_options: Mapping[str, object],
    sql: str,
    *,
    config_id: str | None = None,
    job: str | None = None,
    rules: Rules | None = None,
) -> pa.Table:
    """The rows of one SELECT or EXPLAIN over an output, all at once. Raises what `stream` does."""
    read_all = pa.RecordBatchReader.read_all
    return stream(output_uri, storage_options, sql, read_all, config_id=config_id, job=job, rules=rules)


def stream(
    output_uri: str,
    storage_options: Mapping[str, object],
    sql: str,
    consume: Consume[_Result],
    *,
    config_id: str | None = None,
    job: str | None = None,
    rules: Rules | None = None,
    terms: QueryTerms = _NO_TERMS,
) -> _Result:
    """What `consume` makes of the rows of one SELECT or EXPLAIN over an output. Asks again where a file changed
    meanwhile, MAX_TRIES times.

    `config_id`, `job`, `rules` and `terms` are those of `open_views`. Raises ObjectNotFound where there is no output,
    QueryError, StorageError, ConfigError where rules do not fit the output, and what `consume` raises. A
    KeyboardInterrupt ends the statement at once.
    """
    with_clips = _MAY_BE_ABOUT_CLIPS.search(sql) is not None
    opening = partial(
        open_views, output_uri, storage_options, config_id=config_id, job=job, rules=rules, with_clips=with_clips
    )
    for tries_left in reversed(range(MAX_TRIES)):
        try:
            # The last try reads what was listed, whatever is written meanwhile.
            with opening(terms=terms, reads_directly=tries_left > 0) as views:
                return read(views, sql, consume, terms)
        except (VersionChanged, ObjectNotFound) as error:
            if not tries_left:
                raise
            _let_go(error)
    raise AssertionError("the last try returns or raises")


def _let_go(error: BaseException) -> None:
    """Of what the functions held that an error came through: the connection among them, which holds the error.

    DuckDB's binding takes no part in Python's search for such circles, and would write a page about this one when the
    process ends.
    """
    for one in (error, error.__cause__):  # ours, and DuckDB's, which has ours as its own cause
        if one is not None:
            traceback.clear_frames(one.__traceback__)


def select(views: Views, sql: str) -> pa.Table:
    """The rows of exactly one SELECT or EXPLAIN statement, all at once. Raises what `read` does."""
    return read(views, sql, pa.RecordBatchReader.read_all)


def read(views: Views, sql: str, consume: Consume[_Result], terms: QueryTerms = _NO_TERMS) -> _Result:
    """What `consume` makes of the rows of exactly one SELECT or EXPLAIN statement. `terms` are those of `open_views`.

    Raises QueryError; VersionChanged or ObjectNotFound where a file is not the one that was listed; StorageError; and
    what `consume` raises.
    """
    statement = check_statement(sql)
    views.make_mentioned(sql)
    if _SHOWS_COMMENTS.search(sql):
        views.comment()
    try:
        result = interruptible(views.connection, lambda: consume(_run(views, statement)))
        if views.paths:
            views.files.check_versions()
        return result
    except (duckdb.Error, OSError, pa.ArrowException) as error:  # of a stream, what it met is a text
        if views.paths:
            views.files.check_versions()
        if (met := views.files.take_error()) is not None:
            raise met from error
        raise terms.explain(error, one_sentence(error)) from error


def _run(views: Views, sql: str) -> pa.RecordBatchReader:
    try:
        return views.connection.sql(sql).to_arrow_reader(BATCH_ROWS)
    except duckdb.CatalogException:  # DuckDB proposes a name like the one that was meant, of those that are there
        views.make_tables()
        return views.connection.sql(sql).to_arrow_reader(BATCH_ROWS)
