"""torchvision beside torch's CPU build: what it lacks at import, for Hugging Face's processors, which vLLM looks at.

PyPI has one build of torchvision, whose compiled library does not fit torch+cpu. It is imported all the same, but then
registers fakes for two operators that nobody has declared, and every import that leads there ends with `operator
torchvision::nms does not exist`. Declaring them is enough: nothing here ever calls one. It does
nothing where the library fits, and imports torch only when torchvision is imported.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

# The operators for which torchvision registers a fake whether its library was loaded or not.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[Any] = []  # a declaration lives as long as its library object


class _BeforeTorchvision:
    """A finder that finds nothing, and sees torchvision's import coming."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name == "torchvision":
            sys.meta_path.remove(self)  # type: ignore[arg-type]
            spec = PathFinder.find_spec(name, path)
            if spec is not None and spec.origin is not None:
                _declare_missing_operators(Path(spec.origin).parent)
        return None


def declare_torchvision_operators() -> None:
    """Call before torchvision is imported; nothing happens until then. A second call does nothing."""
    # Packages that only ask whether torchvision is there make the finder declare and go, long before the import.
    if _declared or "torchvision" in sys.modules:
        return
    if not any(isinstance(finder, _BeforeTorchvision) for finder in sys.meta_path):
        sys.meta_path.insert(0, _BeforeTorchvision())  # type: ignore[arg-type]


def _declare_missing_operators(folder: Path) -> None:
    import torch

    for library in folder.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            continue  # it was compiled for another torch
        return
    own = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        own.define(schema)
    _declared.append(own)
