"""The output that a command is about: by its URI, or by the job that writes it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framegate.schemas.errors import ConfigError, ObjectNotFound

if TYPE_CHECKING:
    from framegate.pipelines.commit.output import Output
    from framegate.schemas.config import OutputConfig

OUTPUT_VARIABLE = "FRAMEGATE_OUTPUT"
DEMO_OUTPUT = Path("demo") / "index"

TargetName = Annotated[
    str,
    typer.Argument(metavar="OUTPUT_URI|JOB.yaml", help="An output, or the job that writes it.", show_default=False),
]


@dataclass(frozen=True, kw_only=True)
class Target:
    """An output. `is_job`: a job file named it, and `config` is the job's; else it is a URI with defaults."""

    config: OutputConfig
    is_job: bool

    @property
    def output(self) -> Output:
        from framegate.pipelines.commit.output import Output

        return Output.open(self.config)

    def check(self) -> None:
        """Raises ObjectNotFound where the output does not exist, StorageError."""
        if not self.output.store.is_folder(self.config.uri.rstrip("/") or "/"):
            raise ObjectNotFound(f"there is no output at {self.config.uri}: nothing lies below it")

    def config_ids(self, wanted: str | None) -> list[str]:
        """Those that the output has, in order, or the `wanted` one alone. Raises ConfigError where it has none such."""
        from framegate.pipelines.results.choose import list_config_ids

        known = list_config_ids(self.output)
        if wanted is None:
            return known
        if wanted not in known:
            raise ConfigError(f"--config-id {wanted} is none of {self.config.uri}; it has {', '.join(known) or 'none'}")
        return [wanted]


def find_target(name: str) -> Target:
    """The output that OUTPUT_URI or JOB.yaml names. Raises ConfigError where the job file is wrong."""
    from framegate.schemas.config import OutputConfig
    from framegate.schemas.job import load_job

    if name.endswith((".yaml", ".yml")):
        return Target(config=load_job(Path(name)).config.output, is_job=True)
    return Target(config=OutputConfig.made(uri=name), is_job=False)


def find_output(uri: str | None, job: Path | None) -> OutputConfig:
    """The output that one of two options names; without either, $FRAMEGATE_OUTPUT, else the demo's where there is one.

    Raises ConfigError where nothing names one.
    """
    from framegate.schemas.config import OutputConfig
    from framegate.schemas.job import load_job

    if uri is not None and job is not None:
        raise ConfigError("give --output or --job, not both")
    if job is not None:
        return load_job(job).config.output
    if named := uri or os.environ.get(OUTPUT_VARIABLE):
        return OutputConfig.made(uri=named)
    if DEMO_OUTPUT.is_dir():
        return OutputConfig.made(uri=str(DEMO_OUTPUT))
    raise ConfigError(f"which output? give --output URI or --job JOB.yaml, or set {OUTPUT_VARIABLE}")
