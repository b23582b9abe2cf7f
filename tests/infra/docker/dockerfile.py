"""A Dockerfile as stages of instructions, with the values of its arguments put in, as far as ours needs it."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

VARIABLE = re.compile(r"\$\{(\w+)(?::\+((?:[^{}]|\$\{\w+\})*))?\}")


@dataclass(frozen=True, slots=True)
class Instruction:
    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        """Of the form with brackets, or of a line."""
        return json.loads(self.rest) if self.rest.startswith("[") else shlex.split(self.rest)


@dataclass(slots=True)
class Stage:
    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def of(self, word: str) -> list[Instruction]:
        return [instruction for instruction in self.instructions if instruction.word == word]


def instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Instruction(line.split(None, 1)[0], line.split(None, 1)[1].strip()) for line in joined.splitlines()]


def stages(path: Path, **given: str) -> list[Stage]:
    """All stages in their order. `given` are build arguments; FROM lines have their values, others keep their names."""
    values: dict[str, str] = {}
    found: list[Stage] = []
    for instruction in instructions(path.read_text(encoding="utf-8")):
        if instruction.word == "FROM":
            base, _, name = put_in(instruction.rest, values).partition(" AS ")
            found.append(Stage(name or "last", base))
        elif found:
            found[-1].instructions.append(instruction)
        else:
            assert instruction.word == "ARG", instruction
            name, _, default = instruction.rest.partition("=")
            values[name] = given.get(name, default)
    return found


def put_in(text: str, values: dict[str, str]) -> str:
    """`${A}` and `${A:+words}`."""
    while (match := VARIABLE.search(text)) is not None:
        name, words = match[1], match[2]
        value = values[name] if words is None else (words if values[name] else "")
        text = text[: match.start()] + value + text[match.end() :]
    return text


def chain(all_stages: list[Stage], name: str) -> list[Stage]:
    """A stage and those that it is made of, the first one first."""
    by_name = {stage.name: stage for stage in all_stages}
    found = [by_name[name]]
    while found[0].base in by_name:
        found.insert(0, by_name[found[0].base])
    return found
