"""RunConfig: all parts of a job's configuration in one."""

from __future__ import annotations

import math
from typing import Any, Final

from pydantic import Field, model_validator

from framegate.schemas.config.cost import CostConfig
from framegate.schemas.config.decoding import ClipsConfig, DecodeConfig, FramesConfig
from framegate.schemas.config.drift import DriftConfig
from framegate.schemas.config.engine import EngineConfig
from framegate.schemas.config.failures import FailuresConfig
from framegate.schemas.config.gate import GatedConfig, GatePart, StrategyConfig
from framegate.schemas.config.input import InputConfig
from framegate.schemas.config.many_asks import ManyAsksPart
from framegate.schemas.config.model import ModelConfig
from framegate.schemas.config.night import NightConfig
from framegate.schemas.config.output import OutputConfig
from framegate.schemas.config.part import Part
from framegate.schemas.config.prompt import PromptConfig
from framegate.schemas.config.pruning import PruneByRate
from framegate.schemas.config.ray import RayConfig
from framegate.schemas.config.report import ReportConfig
from framegate.schemas.config.seal import SealConfig

_ROUNDING: Final = 1e-9  # 1 - 2 / 15 as a person writes it


class RunConfig(Part):
    """One job. `questions` is a file beside the job file or the list itself; `schemas.job` reads and checks it."""

    input: InputConfig
    questions: str | list[dict[str, Any]] = Field(description="a file beside the job file, or the list itself")
    model: ModelConfig
    output: OutputConfig
    clips: ClipsConfig = ClipsConfig()
    frames: FramesConfig = FramesConfig()
    decode: DecodeConfig = DecodeConfig()
    prompt: PromptConfig = PromptConfig()
    gate: StrategyConfig = GatedConfig()
    engine: EngineConfig = EngineConfig()
    failures: FailuresConfig = FailuresConfig()
    ray: RayConfig = RayConfig()
    adopt: str | None = Field(
        default=None,
        pattern="^[a-f][0-9a-f]{15}$",
        description="a config_id of the output under which answers go on, although this job's own is another",
    )
    run: NightConfig = NightConfig()
    seal: SealConfig = SealConfig()
    report: ReportConfig = ReportConfig()
    drift: DriftConfig = DriftConfig()
    cost: CostConfig = CostConfig()

    @model_validator(mode="after")
    def _engine_compares_steps(self) -> RunConfig:
        if self.frames.same_within and self.model.engine == "vllm":
            raise ValueError(
                f"frames.same_within is {self.frames.same_within}, and vLLM compares no steps: leave it out, or say "
                "engine: transformers"
            )
        return self

    @model_validator(mode="after")
    def _audit_has_rows(self) -> RunConfig:
        gate = self.gate
        if isinstance(gate, ManyAsksPart) and "audit" in gate.model_fields_set and self.clips.same_within is None:
            raise ValueError(
                f"the strategy {gate.strategy} draws no audit sample but of still clips: leave out gate.audit, set"
                " clips.same_within, or say strategy: gated, which it is for"
            )
        return self

    @model_validator(mode="after")
    def _pruning_leaves_two_steps(self) -> RunConfig:
        prune = self.frames.prune
        if not isinstance(prune, PruneByRate):
            return self
        num_steps = self.frames.most_steps(self.clips)
        most = max(0.0, 1 - 2 / num_steps)
        named = [("rate is", prune.rate), *(("audit_rates has", rate) for rate in prune.audit_rates)]
        for name, rate in named:
            if rate > 0 and rate > most + _ROUNDING:
                raise ValueError(
                    f"frames.prune.{name} {rate:g}, and of the longest clip's {num_steps} temporal steps as many"
                    f" tokens as two of them have must stay: at most {math.floor(most * 1000) / 1000:g}"
                )
        return self

    @model_validator(mode="after")
    def _pruning_is_audited(self) -> RunConfig:
        prune, gate = self.frames.prune, self.gate
        if prune is None or not prune.audit_levels:
            return self
        name = "audit_rates" if isinstance(prune, PruneByRate) else "audit_thresholds"
        if not isinstance(gate, GatePart):
            raise ValueError(
                f"frames.prune.{name} is about rows of the audit sample, and gate.strategy: {gate.strategy} draws none:"
                " leave it out, or say strategy: gated"
            )
        if gate.audit.rate is None and gate.audit.rows is None:
            raise ValueError(
                f"frames.prune.{name} is about rows of the audit sample, and gate.audit is not set: set it, such as"
                " {rate: 0.01}, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _engine_prunes(self) -> RunConfig:
        # vLLM (0.32) puts the tokens that stay at their places when it sees a clip, but not for the next questions,
        # which take the clip's prefix from its cache: their text then stands nearer to the video. Of Qwen2.5-VL it also
        # cuts the seconds between steps to whole ones, and lets the text go on inside the video's positions.
        if self.frames.prune is not None and self.model.engine == "vllm":
            raise ValueError(
                f"frames.prune is set (method: {self.frames.prune.method}), and vLLM does not give all questions of a"
                " pruned clip their positions: leave it out, or say engine: transformers"
            )
        return self

    @model_validator(mode="after")
    def _engine_has_room_for_a_window_alone(self) -> RunConfig:
        # vLLM is built for `max_video_tokens` at once, which those of a whole video need not fit into.
        if self.gate.strategy == "streaming" and self.clips.whole_video and self.model.engine == "vllm":
            raise ValueError(
                "gate.strategy is streaming over whole videos, and vLLM makes room for all frames of a video at once:"
                " say engine: transformers, or clips.seconds in place of clips.whole_video"
            )
        return self

    @model_validator(mode="after")
    def _decord_is_confined(self) -> RunConfig:
        if "decord" in self.frames.decoders and not self.decode.sandbox:
            raise ValueError("decord can hang where only SIGKILL ends it: leave decode.sandbox on, or use pyav")
        return self
