"""Framegate: ask questions of every clip of a video archive; read the answers as Parquet.

Everything is imported under this name: `framegate.jobs` holds the commands, `framegate.pipelines` what they run,
`framegate.schemas` the data between them. Importing `framegate` alone loads none of the three.
"""

from __future__ import annotations


def __getattr__(name: str) -> str:
    """`framegate.__version__`, read from the installed package when it is asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("framegate")
    raise AttributeError(f"module 'framegate' has no attribute '{name}'")
