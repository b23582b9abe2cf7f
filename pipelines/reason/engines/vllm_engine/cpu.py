"""vLLM on a machine without a GPU: what its CPU build lacks at import.

No CPU build of torchvision is on PyPI, and the one that is there finds its compiled library no match for torch+cpu. It
then registers fakes for operators that nobody has declared, and every import of transformers' processors ends with
`operator torchvision::nms does not exist`. Declaring them is enough: nothing here ever calls one. Knows nothing of
engines, and does nothing where the operators are there.
"""

from __future__ import annotations

import torch

# All operators for which torchvision (0.22 to 0.28) registers a fake whether its library was loaded or not.
_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[torch.library.Library] = []  # a declaration lives as long as its library object


def declare_torchvision_operators() -> None:
    """Call before torchvision is imported for the first time. A second call does nothing."""
    if _declared or torch.version.cuda is not None:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    _declared.append(library)
