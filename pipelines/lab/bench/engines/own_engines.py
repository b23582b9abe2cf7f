"""Our engines under measurement: requests in, step by step, answers of fixed length out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from framegate.pipelines.lab.bench.engines.fixed_length import read_token_ids
from framegate.pipelines.lab.bench.engines.task import Task, Written
from framegate.pipelines.lab.bench.engines.work import make_questions
from framegate.pipelines.reason.asking.prompt import DEFAULT_SYSTEM_PROMPT
from framegate.pipelines.reason.engines.times import EngineTimes
from framegate.pipelines.reason.questions import ClipRequest, Finished, QuestionRunner
from framegate.schemas.errors import EngineError


class OwnEngine:
    """One engine for warming up and measuring, as it lives as long as its actor."""

    def __init__(self, runner: QuestionRunner) -> None:
        self._runner = runner
        self.settings: dict[str, str | int] = {}

    @property
    def times(self) -> EngineTimes:
        return cast(Any, self._runner.engine).times

    def warm_up(self, requests: Sequence[ClipRequest]) -> None:
        self.run(requests)

    def run(self, requests: Sequence[ClipRequest]) -> list[Written]:
        for request in requests:
            self._runner.add(request)
        finished: list[Finished] = []
        while self._runner.num_unfinished:
            finished += self._runner.step()
        return [_read(one) for one in finished]


def load_transformers(task: Task, strategy: str) -> OwnEngine:
    from framegate.pipelines.reason.engines.own.checkpoint import Checkpoint
    from framegate.pipelines.reason.engines.own.engine import TransformersEngine

    checkpoint = Checkpoint(task.checkpoint, revision=None, dtype=task.dtype, device=task.device)
    engine = TransformersEngine(
        checkpoint,
        system_prompt=DEFAULT_SYSTEM_PROMPT,
        frames=task.work.limits,
        num_slots=task.num_slots,
    )
    return OwnEngine(QuestionRunner(engine, task.work.strategy(strategy, task.threshold)))


def load_vllm(task: Task, strategy: str) -> OwnEngine:
    from framegate.pipelines.reason.engines.vllm.cpu import declare_torchvision_operators

    declare_torchvision_operators()
    from framegate.pipelines.reason.engines.vllm.engine import VllmEngine

    fixed_length = task.work.strategy(strategy, task.threshold)
    questions = make_questions(task.work.num_questions)
    engine = VllmEngine.load(
        task.checkpoint,
        revision=None,
        dtype=task.dtype,
        engine_args={} if task.num_slots is None else {"max_num_seqs": task.num_slots},
        system_prompt=DEFAULT_SYSTEM_PROMPT,
        frames=task.work.limits,
        budgets=[budget for question in questions for budget in fixed_length.budgets(question)],
    )
    return OwnEngine(QuestionRunner(engine, fixed_length))


def _read(finished: Finished) -> Written:
    answer = finished.answer
    if answer is None:
        raise EngineError(f"{finished.request_id}, {finished.question.id}: {finished.failure_message}")
    token_ids = read_token_ids(answer)
    return Written(
        request_id=finished.request_id,
        question_id=finished.question.id,
        token_ids=token_ids,
        confidence=answer.verdict.confidence,
        thinks=answer.verdict.route == "think",
        num_generated_tokens=len(token_ids),
    )
