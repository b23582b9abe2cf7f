"""The configuration of a job: one file for each part of it, and config_id, the name of all that can change an answer.

Defaults stand in these files and nowhere else. `schemas.job` reads the files that a person writes.
"""

from framegate.schemas.config.cost import Cost, CostConfig
from framegate.schemas.config.decoding import ClipsConfig, DecodeConfig, FramesConfig
from framegate.schemas.config.drift import DriftConfig
from framegate.schemas.config.engine import EngineConfig
from framegate.schemas.config.failures import FailuresConfig
from framegate.schemas.config.gate import AlwaysThinkConfig, DirectConfig, GatedConfig, StrategyConfig
from framegate.schemas.config.identity import (
    NAMED,
    SCHEMA_VERSION,
    answer_document,
    clip_policy,
    config_id,
    differences,
)
from framegate.schemas.config.input import InputConfig
from framegate.schemas.config.model import ModelConfig
from framegate.schemas.config.night import NightConfig
from framegate.schemas.config.output import OutputConfig
from framegate.schemas.config.prompt import PromptConfig
from framegate.schemas.config.ray import ActorBounds, RayConfig
from framegate.schemas.config.report import ReportConfig
from framegate.schemas.config.run import RunConfig
from framegate.schemas.config.seal import SealConfig

__all__ = [
    "NAMED",
    "SCHEMA_VERSION",
    "ActorBounds",
    "AlwaysThinkConfig",
    "ClipsConfig",
    "Cost",
    "CostConfig",
    "DecodeConfig",
    "DirectConfig",
    "DriftConfig",
    "EngineConfig",
    "FailuresConfig",
    "FramesConfig",
    "GatedConfig",
    "InputConfig",
    "ModelConfig",
    "NightConfig",
    "OutputConfig",
    "PromptConfig",
    "RayConfig",
    "ReportConfig",
    "RunConfig",
    "SealConfig",
    "StrategyConfig",
    "answer_document",
    "clip_policy",
    "config_id",
    "differences",
]
