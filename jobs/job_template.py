"""The text of a new job file and of its question bank, with a comment on every key in the schema's own words."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from framegate.jobs.printing import cell
from framegate.schemas.escape import escape, escape_json

if TYPE_CHECKING:
    from framegate.pipelines.plan.survey import Survey
    from framegate.schemas.config.reference import Key

WIDTH = 100
MAX_EXTENSIONS = 8

QUESTIONS = """\
# The questions that are asked of every clip. A question that is added, or whose words change, is asked alone by the
# next run; what is answered stays.
#
#   id       a short name: it stands in every row, as question_id
#   type     yes_no, choice (with options: 2 to 26 texts), number, text, or span (from when to when)
#   text     the question's words
#   think    auto (the strategy decides), never or always

- {id: people, type: yes_no, text: "Is a person in the picture?"}
- {id: light, type: choice, text: "When was this filmed?", options: ["by day", "at night", "indoors"]}
- {id: vehicles, type: number, text: "How many vehicles are there?"}
- {id: what, type: text, text: "What happens here?", think: never}
"""

_HEAD = """\
A job of Framegate. Every key with its type, default and bounds: docs/keys.md. Check it, try it, run it:

  framegate plan {name}              what it would do; changes nothing
  framegate run {name} --limit 10    ten videos
  framegate run {name}               all of them, and every night after what is new
"""
_MODEL = (
    "dock comes with the package and knows a drawn loading dock alone: it shows that all works, and says nothing of"
    " your videos. Name a checkpoint of Qwen2.5-VL or Qwen3-VL here, a folder or a hub name."
)
_NO_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")  # YAML takes them for something else


def render_job(found: Survey, *, name: str, place: str, videos: tuple[str, ...], output: str, questions: str) -> str:
    """The job file `name`, about the `videos` that were found at `place`."""
    from framegate.schemas.config.reference import list_keys

    keys = {key.name: key for group in list_keys() for key in group.keys}
    about = textwrap.dedent(_HEAD).format(name=name) + "\n" + "\n".join(_describe(found, place))
    sections: list[list[str]] = [
        [f"# {escape(line)}".rstrip() for line in about.split("\n")],
        ["input:", *_entry(keys["input.videos"], videos[0] if len(videos) == 1 else list(videos))],
        [*_comment(keys["questions"].meaning, ""), f"questions: {_yaml(questions)}"],
        ["model:", *_entry(keys["model.name"], "dock", note=_MODEL)],
        ["output:", *_entry(keys["output.uri"], output), *_partitions(found, keys)],
        ["clips:", *_entry(keys["clips.seconds"])],
        ["frames:", *_entry(keys["frames.fps"]), *_entry(keys["frames.max_frames"])],
        ["gate:", *_entry(keys["gate.strategy"]), *_entry(keys["gate.threshold"])],
        ["ray:", *_entry(keys["ray.gpus_per_actor"]), *_entry(keys["ray.decode_workers"])],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _describe(found: Survey, place: str) -> list[str]:
    counts = list(found.by_extension.items())
    named = [f"{number:,} {name or 'without extension'}" for name, number in counts[:MAX_EXTENSIONS]]
    if len(counts) > MAX_EXTENSIONS:
        named.append(f"{len(counts) - MAX_EXTENSIONS:,} other extensions")
    more = "" if found.is_whole else " at least"
    what = (
        f"At {escape(place)}{more} {found.num_objects:,} objects, {found.size_bytes / 1e6:,.1f} MB: {', '.join(named)}."
    )
    lines = textwrap.wrap(what, WIDTH)
    if found.manifest is not None:
        columns = ", ".join(found.columns) or "none"
        lines += textwrap.wrap(f"{found.manifest} is a manifest; its columns beside uri: {columns}.", WIDTH)
    lines = [escape(line) for line in lines]  # YAML ends a line, and so a comment, at U+2028, too
    for video in found.probed:
        size = f"{video.codec}, {video.width}x{video.height}, {cell(video.duration_seconds)} s"
        lines.append(escape(f"{video.uri.rpartition('/')[2]}: {size if video.codec else video.verdict}"))
    return lines


def _partitions(found: Survey, keys: dict[str, Key]) -> list[str]:
    """A line to be made active, where a manifest has columns to partition by."""
    if not found.columns:
        return []
    key = keys["output.partition_by"]
    return [*_comment(key.meaning, "  "), f"  # partition_by: {_yaml([found.columns[0]])}"]


def _entry(key: Key, value: Any = None, *, note: str = "") -> list[str]:
    """The key below its part, with its meaning above it; its default where no value is given."""
    shown = key.default if value is None else _yaml(value)
    bounds = f" ({key.allowed})" if key.allowed and key.type.endswith("number") else ""
    text = key.meaning + bounds
    lines = _comment(text, "  ") + (_comment(note, "  ") if note else [])
    return [*lines, f"  {key.name.rpartition('.')[2]}: {shown}"]


def _comment(text: str, indent: str) -> list[str]:
    return [f"{indent}# {line}" for line in textwrap.wrap(text.replace("`", ""), WIDTH)]


def _yaml(value: Any) -> str:
    """JSON is YAML, and quotes every text; a plain word needs no quotes."""
    if isinstance(value, str) and value.replace("-", "").replace(".", "").replace("_", "").isalnum():
        is_word = value[0].isalpha() and value.lower() not in _NO_WORDS
        return value if is_word else json.dumps(value)
    return escape_json(json.dumps(value, ensure_ascii=False))
