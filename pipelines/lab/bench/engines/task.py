"""The input and the output of a process that measures one system, both as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from framegate.pipelines.lab.bench.engines.work import EngineWork
from framegate.pipelines.reason.engines.times import EngineTimes


@dataclass(frozen=True, kw_only=True)
class Task:
    """One system and its work. `strategy` replaces the one that the system's name stands for, `num_slots` how many
    sequences take part in a step of an engine at most."""

    system: str
    checkpoint: str
    work: EngineWork
    threshold: float
    dtype: str
    device: str
    num_threads: int
    strategy: str | None = None
    num_slots: int | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        values = json.loads(text)
        return cls(**{**values, "work": EngineWork(**values["work"])})


@dataclass(frozen=True, kw_only=True)
class Written:
    """One question: all tokens of its answer, how sure the first of them were where that was measured, whether it
    thought, and how many tokens were generated for it, those that were generated twice included."""

    request_id: str
    question_id: str
    token_ids: list[int]
    confidence: float | None
    thinks: bool
    num_generated_tokens: int

    @property
    def key(self) -> tuple[str, str]:
        return self.request_id, self.question_id


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The measurements of one run.

    load_seconds    to import, load and warm up
    peak_rss_bytes  since the process began, loading included, of its children as well
    peak_device_bytes  that torch gave out in this process; None without CUDA, and where vLLM's worker is another one
    times           of the engine during the run; None for systems that do not tell
    versions        of the packages that did the work
    settings        that the system chose for itself
    """

    load_seconds: float
    seconds: float
    written: list[Written]
    peak_rss_bytes: int
    peak_device_bytes: int | None
    times: EngineTimes | None
    versions: dict[str, str]
    settings: dict[str, str | int] = field(default_factory=dict)

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> Outcome:
        values = json.loads(file.read_text(encoding="utf-8"))
        written = [Written(**one) for one in values["written"]]
        times = values["times"] and EngineTimes(**values["times"])
        return cls(**{**values, "written": written, "times": times})
