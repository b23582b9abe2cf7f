"""Framegate: ask questions of every clip of a video archive; read the answers as Parquet.

Everything is imported under this name: `framegate.jobs` holds the commands, `framegate.pipelines` what they run,
`framegate.schemas` the data between them. Importing `framegate` alone loads none of the three.

`framegate.connect(output)` gives a DuckDB connection with the views of an output.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """`framegate.__version__`, read from the installed package when it is asked for, and `framegate.connect`."""
    if name == "__version__":
        from importlib.metadata import version

        return version("framegate")
    if name == "connect":
        from framegate.pipelines.results.connect import connect

        return connect
    raise AttributeError(f"module 'framegate' has no attribute '{name}'")
