"""From a job to an engine: which one, and with what.

A factory travels to the workers; nothing heavy is imported before it is called there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from framegate.pipelines.reason.asking.prompt import suffix_after_video
from framegate.pipelines.reason.asking.wording import system_prompt, wording_of
from framegate.pipelines.reason.engines.protocol import Engine, EngineFactory
from framegate.pipelines.reason.models.vision_grid import check_not_quantized
from framegate.pipelines.reason.strategies.answer_tokens import needs_of
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import Capability, Strategy, TokenBudget, describe_missing
from framegate.pipelines.reason.strategies.two_answers import TwoAnswers
from framegate.schemas.config import RayConfig, RunConfig
from framegate.schemas.errors import ConfigError, EngineError
from framegate.schemas.qa import Measure, Question

CAPABILITIES: Mapping[str, frozenset[Capability]] = MappingProxyType(
    {"transformers": frozenset({"sampling", "distribution", "value_cache", "pruning"}), "vllm": frozenset({"sampling"})}
)
"""What each engine that a job can name is capable of: what `Engine.capabilities` says once it is loaded."""


def check_engine(engine: str, strategy: Strategy) -> None:
    """Raises ConfigError where an engine, as a job names it, is not capable of what the strategy needs."""
    missing = strategy.needs - CAPABILITIES[engine]
    if not missing:
        return
    able = [f"engine: {name}" for name, capabilities in CAPABILITIES.items() if strategy.needs <= capabilities]
    who, otherwise = _who_needs(strategy, missing)
    raise ConfigError(
        f"{who} needs {describe_missing(missing)}, which the engine {engine} does not offer; "
        + (f"use {' or '.join(able)}" if able else "no engine does")
        + otherwise
    )


def _who_needs(strategy: Strategy, missing: frozenset[Capability]) -> tuple[str, str]:
    """The key of a job that needs what is missing, and what else can be done about it."""
    measures: tuple[Measure, ...] = strategy.measures if isinstance(strategy, TwoAnswers) else ()
    needy: list[Measure] = [name for name in measures if needs_of([name]) & missing]
    if missing <= needs_of(needy):
        return f"gate.measures: [{', '.join(needy)}]", f", or take {' and '.join(needy)} out of gate.measures"
    if isinstance(strategy, Gated) and strategy.inner is not None and missing & strategy.inner.needs:
        return f"gate.inner: {strategy.inner.name}", ", or leave gate.inner out"
    return f"the strategy {strategy.name}", ""


def check_requirements(config: RunConfig) -> None:
    """Raises EngineError where the job's engine is not installed, or cannot run its checkpoint with its arguments.

    Loads nothing. What is installed on the nodes of a cluster is not looked at.
    """
    model = config.model
    if model.engine == "transformers":
        check_not_quantized(model.name, model.revision)
    elif config.ray.address is None:
        from framegate.pipelines.reason.engines.vllm.requirements import check_vllm

        check_vllm(model.engine_args)


def make_engine_factory(
    config: RunConfig, strategy: Strategy, questions: Iterable[Question], *, num_slots: int | None = None
) -> EngineFactory:
    """A picklable function without arguments that builds the job's engine; call it once per worker."""
    questions = tuple(questions)
    budgets = dict.fromkeys(budget for question in questions for budget in strategy.budgets(question))
    instructions = wording_of(config.gate).instructions
    suffixes = [suffix_after_video(question, text) for question in questions for text in instructions]
    question_bytes = max((len(suffix.plain.encode(errors="replace")) for suffix in suffixes), default=0)
    return partial(build_engine, config, budgets=tuple(budgets), question_bytes=question_bytes, num_slots=num_slots)


def build_engine(
    config: RunConfig, *, budgets: Sequence[TokenBudget], question_bytes: int = 0, num_slots: int | None = None
) -> Engine:
    """Load the job's model: on an accelerator if the job gives its workers one, else on the CPU. Raises EngineError.

    `budgets` are those of all asks to come, `question_bytes` has the longest question. vLLM runs where it was built
    for, and takes its number of sequences from `model.engine_args`.
    """
    if config.model.engine == "vllm":
        return _build_vllm(config, budgets, question_bytes)
    from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
    from framegate.pipelines.reason.engines.own.device import memory_budget
    from framegate.pipelines.reason.engines.own.engine import TransformersEngine

    device = _pick_device(config.ray.gpus_per_actor)
    checkpoint = Checkpoint(config.model.name, revision=config.model.revision, dtype=config.model.dtype, device=device)
    return TransformersEngine(
        checkpoint,
        system_prompt=system_prompt(config),
        frames=config.frames,
        num_slots=num_slots,
        memory_bytes=memory_budget(checkpoint.device, engine_share=_engine_share(config.ray)),
    )


def _engine_share(ray: RayConfig) -> float:
    """Of the device that an engine runs on: of a GPU what the job says, of a machine with all engines on it, a part."""
    if ray.gpus_per_actor:
        return min(ray.gpus_per_actor, 1.0)
    return 1 / ray.reason_actors.max if ray.address is None else 1.0


def _build_vllm(config: RunConfig, budgets: Sequence[TokenBudget], question_bytes: int) -> Engine:
    from framegate.pipelines.reason.engines.vllm.engine import VllmEngine

    return VllmEngine.load(
        config.model.name,
        revision=config.model.revision,
        dtype=config.model.dtype,
        engine_args=config.model.engine_args,
        system_prompt=system_prompt(config),
        frames=config.frames,
        budgets=budgets,
        question_bytes=question_bytes,
    )


def _pick_device(gpus_per_actor: float) -> str:
    import torch

    if gpus_per_actor == 0:
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    raise EngineError(
        f"the job gives each engine {gpus_per_actor:g} GPUs but this machine shows none; set ray.gpus_per_actor to 0 "
        "to run the model on the CPU"
    )
