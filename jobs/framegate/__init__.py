"""Framegate: ask questions of every clip of a video archive; read the answers as Parquet.

The import name of everything: `framegate.jobs` holds the commands, `framegate.pipelines` what they run and
`framegate.schemas` what flows through it. Importing it loads none of them.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """`framegate.__version__`, read from the installed package when somebody asks."""
    if name == "__version__":
        from importlib.metadata import version

        return version("framegate")
    raise AttributeError(f"module 'framegate' has no attribute '{name}'")
