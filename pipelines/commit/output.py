"""One output: the storage that holds it, and the names of what lies there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from framegate.pipelines.commit.layout import OWN_NAMES, Layout
from framegate.pipelines.store import ObjectInfo, Store
from framegate.schemas.config import OutputConfig


@dataclass(frozen=True)
class Output:
    """An output to read from and to write to. Cheap to make, picklable, safe to share between threads."""

    store: Store
    layout: Layout

    @staticmethod
    def open(config: OutputConfig) -> Output:
        """The output that a job writes to. Asks nothing of storage."""
        store = Store(config.storage_options, single_writer=config.single_writer)
        return Output(store, Layout(config.uri))

    @staticmethod
    def at(uri: str) -> Output:
        """An output that is reached without storage options."""
        return Output(Store(), Layout(uri))

    @property
    def root(self) -> str:
        """Its URI, as the job or the command names it."""
        return self.layout.root

    def holds(self, uri: str) -> bool:
        """Whether an object below the output, or its folder's own videos, has the name of one that an output has."""
        root = self.root.rstrip("/") + "/"
        return uri.startswith(root) and OWN_NAMES.match(uri[len(root) :]) is not None

    def list(self, folder: str, config_id: str | None = None) -> Iterator[ObjectInfo]:
        """Every object in a folder of the output, by name, fresh from storage. `folder` is one of FOLDERS."""
        return self.store.list(self.layout.folder(folder, config_id))
