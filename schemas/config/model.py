"""ModelConfig: which model answers, and on which engine."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Literal

from pydantic import Field, model_validator

from framegate.schemas.config.engine_args import check_engine_args
from framegate.schemas.config.part import Part


class ModelConfig(Part):
    """Which model, in which numbers, on which engine."""

    name: str = Field(
        min_length=1, description="a checkpoint folder, a hub name, or dock, which comes with the package"
    )
    revision: str | None = Field(default=None, description="a hub revision")
    dtype: Literal["bfloat16", "float16", "float32"] = Field(default="bfloat16", description="of the weights")
    engine: Literal["transformers", "vllm"] = Field(default="transformers", description="what runs the model")
    engine_args: dict[str, Any] = Field(
        default={}, description="vllm: arguments of its LLM, such as tensor_parallel_size; two lists say which"
    )

    @model_validator(mode="after")
    def _engine_args_have_an_engine(self) -> ModelConfig:
        if self.engine_args and self.engine != "vllm":
            raise ValueError(
                f"engine_args are vLLM's, and the engine is {self.engine}: leave them out, or say engine: vllm"
            )
        try:
            check_engine_args(self.engine_args)
        except ValueError as error:
            raise ValueError(f"engine_args: {error}") from None
        return self

    @property
    def label(self) -> str:
        """The name without the machine: a hub name as it is, a folder by its last part."""
        return PurePath(self.name).name if self.name.startswith(("/", ".", "~")) else self.name
