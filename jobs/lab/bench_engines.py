"""`framegate bench engines`: measures our engines and their alternatives side by side, on the same work."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from framegate.jobs.options import choose_names, takes_options
from framegate.jobs.printing import TableRow, cell, make_console, print_line, print_table, write_json
from framegate.schemas.errors import ConfigError

if TYPE_CHECKING:
    from framegate.pipelines.lab.bench.engines.measure import EngineBench
    from framegate.pipelines.lab.bench.engines.work import EngineWork

HEADINGS = {
    "system": "system",
    "seconds": "seconds",
    "ratio_to_two_call": "x two_call",
    "clips_per_second": "clips/s",
    "num_thinking": "think",
    "num_generated_tokens": "tokens",
    "num_same_tokens": "same",
    "shares": "vis/pre/ans/thk",
    "steps_over_floor": "step/floor",
    "peak_rss_mib": "peak MiB",
}
STEADY_HEADINGS = {
    "system": "system",
    "seconds": "seconds",
    "share_of_bound": "of bound",
    "ratio_to_two_request": "x two_request",
    "num_thinking": "think",
    "num_generated_tokens": "tokens",
    "num_same_tokens": "same",
    "num_steps": "steps",
    "answer_rows": "answering",
    "think_rows": "thinking",
    "shares": "vis/pre/ans/thk",
    "peak_rss_mib": "peak MiB",
}
GATING_HEADINGS = ("engine", "num_pairs", "gated_seconds", "always_seconds", "ratio")
STEADY = (
    "transformers_direct", "transformers_gated", "transformers_always", "vllm_always", "vllm_two_request", "vllm_gated",
)  # fmt: skip
STEADY_SLOTS, STEADY_VIDEOS, USUAL_VIDEOS = 64, 48, 8
SCALED = ("transformers_direct", "transformers_gated", "transformers_always", "vllm_gated")
WITHOUT_VLLM = "vLLM is not installed, its systems are left out; get it with: make setup-vllm"


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What is measured, and where. The defaults fit a machine of two cores."""

    family: Annotated[str, typer.Option(help="Shape of the model: qwen2_5_vl or qwen3_vl.")] = "qwen2_5_vl"
    parameters: Annotated[str, typer.Option(metavar="N", help="About so many: 1M, 180M, 7B.")] = "180M"
    videos: Annotated[
        int | None, typer.Option(min=1, help="Clips, one of each video.", show_default="8; 48 with --steady")
    ] = None
    questions: Annotated[int, typer.Option(min=1, max=256, help="Asked of each clip.")] = 4
    frames: Annotated[int, typer.Option(min=1, help="Of each clip.")] = 16
    size: Annotated[int, typer.Option(min=28, help="Pixels, height and width of a frame.")] = 224
    answer_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Of each first answer.")] = 8
    thinking_tokens: Annotated[int, typer.Option(min=1, max=65_536, help="Of each that thinks.")] = 128
    think_rate: Annotated[float, typer.Option(min=0, max=1, help="The share that thinks.")] = 0.3
    systems: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these systems.", show_default="all that are installed")
    ] = None
    dtype: Annotated[str, typer.Option(help="bfloat16, float16 or float32.")] = "bfloat16"
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu"
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Rounds of all systems.", show_default="1; 5 with --gating-cost")
    ] = None
    scale: Annotated[
        str | None,
        typer.Option(metavar="AXIS", help="Over a range of think-rate (0-1), questions (1-32) or frames (8-128)."),
    ] = None
    gating_cost: Annotated[
        bool, typer.Option("--gating-cost", help="Where all think: gated beside always, of the same engine.")
    ] = False
    steady: Annotated[
        bool, typer.Option("--steady", help="More questions than slots, and as many slots for every system.")
    ] = False
    slots: Annotated[int, typer.Option(min=1, help="Sequences in a step at most, with --steady.")] = STEADY_SLOTS
    vllm_python: Annotated[
        Path | None,
        typer.Option(metavar="PYTHON", help="That has vLLM.", show_default=".venv-vllm/bin/python, else this one"),
    ] = None
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keeps the checkpoint there.", show_default="a temporary folder"),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option("--output", "--json", metavar="FILE", help="Also write header and rows as JSON."),
    ] = None

    @property
    def work(self) -> EngineWork:
        from framegate.pipelines.lab.bench.engines.work import EngineWork

        return EngineWork(
            num_videos=self.videos or (STEADY_VIDEOS if self.steady else USUAL_VIDEOS),
            num_questions=self.questions,
            num_frames=self.frames,
            size=self.size,
            num_answer_tokens=self.answer_tokens,
            num_thinking_tokens=self.thinking_tokens,
        )


@takes_options
def engines(options: EngineOptions) -> None:
    """Engines side by side on one piece of work, with random weights: seconds, tokens, memory, and the floor.

    A checkpoint of random weights is made: the published 7B, by default at an eighth of its width. Random weights never
    write a box, so lengths are fixed: every first answer is as long, and so is all thinking. Hugging Face, our engine
    and vLLM round in ways of their own: a run of each measures confidences first, and the threshold half way between
    two of them makes the wanted share think. Each system runs in a process of its own, and warms up on other frames
    before the clock starts.

    [bold]two_call[/bold] is the published method with Hugging Face's generate: one call answers, and where it is unsure
    another begins again from the frames. [bold]generate_always[/bold] thinks on everything, in batches of the size that
    it found to be the fastest. transformers_* and vllm_gated are ours; vllm_always and vllm_two_request plain vLLM.

    vis/pre/ans/thk is an engine's time in vision, prefill, steps of first answers and of thinking, in percent; vLLM's
    own vision counts as prefill.
    same counts the questions with the tokens of the first system: rounding differs from kernel to kernel, and random
    weights are often undecided between two tokens; in float32 all agree. step/floor is the time of a step over
    that of reading its weights and keys at the measured bandwidth, or of its operations at the measured rate.

    With [bold]--steady[/bold] there are more questions than slots, as in an archive, and all systems have as many
    slots. The bound of a gated run is what transformers_direct takes, and of what transformers_always takes beyond that
    the share that thinks. answering and thinking are the rows of a step, on average.

    [bold]Examples[/bold]

      framegate bench engines --output engines.json

      framegate bench engines --systems two_call,transformers_gated --repeats 3

      framegate bench engines --scale think-rate --videos 4

      framegate bench engines --gating-cost

      framegate bench engines --steady --repeats 3

      framegate bench engines --parameters 7B --device cuda --videos 64
    """
    from framegate.pipelines.lab.bench.engines.checkpoint import make_checkpoint
    from framegate.pipelines.lab.bench.engines.machine import count_cores, measure_machine
    from framegate.pipelines.lab.bench.engines.measure import EngineBench
    from framegate.pipelines.lab.bench.engines.run import Interpreters, find_vllm_python
    from framegate.pipelines.lab.bench.engines.shapes import parse_parameters

    _check(options)
    num_parameters = parse_parameters(options.parameters)
    vllm = find_vllm_python(options.vllm_python)
    systems = _choose_systems(options, has_vllm=vllm is not None)
    console = make_console()
    if vllm is None and options.systems is None:
        print_line(console, WITHOUT_VLLM, style="yellow")
    with _keep(options.folder) as home, _progress(console) as on_run:
        on_run("making a checkpoint", 0)
        checkpoint = make_checkpoint(home, options.family, num_parameters, seed=1)
        on_run("measuring the machine", 0)
        bench = EngineBench(
            checkpoint=checkpoint,
            machine=measure_machine(options.dtype, options.device, count_cores()),
            dtype=options.dtype,
            device=options.device,
            interpreters=Interpreters(vllm=vllm),
            on_run=on_run,
            num_slots=options.slots if options.steady else None,
        )
        rows = _measure(bench, options, systems)
    think_rate = None if options.gating_cost or options.scale == "think-rate" else options.think_rate
    header = bench.header(options.work, rows, think_rate=think_rate)
    write_json(options.output, "bench engines", rows, header=header)
    first = {"questions": "questions", "frames": "frames"}.get(options.scale or "", "think_rate")
    _print(console, header, rows, STEADY_HEADINGS if options.steady else {first: first, **HEADINGS}, first=first)
    if any(row.get("complaint") for row in rows):
        raise typer.Exit(1)


def _check(options: EngineOptions) -> None:
    """Raises ConfigError for what no machine could measure."""
    from framegate.pipelines.lab.bench.engines.measure import RANGES

    if not Path("/proc/self/status").exists():
        raise ConfigError("framegate bench engines reads memory from Linux's /proc, which is not there; use Linux")
    if options.dtype not in ("bfloat16", "float16", "float32"):
        raise ConfigError(f"--dtype: '{options.dtype}' is unknown; use bfloat16, float16 or float32")
    if options.scale is not None and options.scale not in RANGES:
        raise ConfigError(f"--scale: '{options.scale}' is unknown; use one of: {', '.join(RANGES)}")
    if options.scale is not None and options.gating_cost:
        raise ConfigError("--scale and --gating-cost are two measurements; give one of them")
    if options.steady and (options.scale is not None or options.gating_cost):
        raise ConfigError("--steady is a measurement of its own; give it without --scale and --gating-cost")
    if options.steady and (num_asked := options.work.num_asked) <= options.slots:
        raise ConfigError(
            f"--steady: {num_asked} questions are no more than the {options.slots} slots; give more --videos or"
            " --questions, or fewer --slots"
        )


def _choose_systems(options: EngineOptions, *, has_vllm: bool) -> list[str]:
    from framegate.pipelines.lab.bench.engines.measure import GATING_PAIRS
    from framegate.pipelines.lab.bench.engines.systems import SYSTEMS, VLLM_SYSTEMS

    pairs = tuple(GATING_PAIRS.values())
    if options.systems is None:
        usual = SCALED if options.scale else pairs if options.gating_cost else STEADY if options.steady else SYSTEMS
        return [name for name in usual if has_vllm or name not in VLLM_SYSTEMS]
    names = choose_names("--systems", options.systems, SYSTEMS)
    if not has_vllm and (needy := [name for name in names if name in VLLM_SYSTEMS]):
        raise ConfigError(f"--systems: {', '.join(needy)} needs vLLM, which is not installed; get it: make setup-vllm")
    if options.gating_cost and (others := [name for name in names if name not in pairs]):
        raise ConfigError(f"--systems: with --gating-cost use some of: {', '.join(pairs)}; got {', '.join(others)}")
    if options.steady and (others := [name for name in names if name not in STEADY]):
        raise ConfigError(
            f"--systems: with --steady use some of: {', '.join(STEADY)}; {', '.join(others)} has no slots"
        )
    return names


def _measure(bench: EngineBench, options: EngineOptions, systems: Sequence[str]) -> list[dict[str, Any]]:
    from framegate.pipelines.lab.bench.engines.measure import GATING_PAIRS

    work, repeats = options.work, options.repeats
    if options.gating_cost:
        names = [engine for engine, system in GATING_PAIRS.items() if system in systems]
        return bench.gating_cost(work, names, num_pairs=repeats or 5)
    if options.scale is not None:
        axis = cast(Any, options.scale)
        return bench.scale(work, systems, axis, think_rate=options.think_rate, num_repeats=repeats or 1)
    return bench.measure(work, systems, think_rate=options.think_rate, num_repeats=repeats or 1)


@contextmanager
def _keep(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="framegate-bench-engines-") as scratch:
        yield Path(scratch)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str, int], None]]:
    columns = (TextColumn("{task.description:<40}"), TextColumn("{task.completed} runs done"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("", total=None)
        yield lambda what, num_done: bars.update(bar, description=what, completed=num_done)


def _print(
    console: Console, header: Mapping[str, Any], rows: Sequence[TableRow], usual: Mapping[str, str], *, first: str
) -> None:
    for line in _describe(header, {} if first in rows[0] else _thresholds(rows)):
        print_line(console, line)
    rows = [{**row, "shares": _shares(row)} for row in rows]
    named = {name: name for name in GATING_HEADINGS} if "engine" in rows[0] else usual
    # Without two_call nothing is compared with it.
    headings = {name: named[name] for name in named if any(row.get(name) is not None for row in rows)}
    shown = [{heading: row[name] for name, heading in headings.items()} for row in rows]
    print_table(console, tuple(headings.values()), shown)
    for line in _describe_bound(rows):
        print_line(console, line)
    for row in rows:
        if row.get("complaint"):
            print_line(console, f"{row.get('system') or row['engine']}: {row['complaint']}", style="bold red")


def _thresholds(rows: Sequence[TableRow]) -> dict[str, float]:
    """The threshold of each system that has one."""
    return {row["system"]: row["threshold"] for row in rows if row.get("threshold") is not None}


def _describe(header: Mapping[str, Any], thresholds: Mapping[str, float]) -> Iterator[str]:
    read, matrix = header["read_bytes_per_second"] / 1e9, header["matrix_operations_per_second"] / 1e12
    yield f"{header['device']}, {header['num_cores']} cores: {read:.3g} GB/s, {matrix:.3g} TFLOP/s {header['dtype']}"
    yield f"{header['family']}, {header['num_parameters'] / 1e6:,.1f} M parameters; {cell(header['versions'])}"
    yield cell(header["work"])
    if header["think_rate"] is not None:
        named = f": threshold {cell(thresholds)}" if thresholds else ""
        yield f"think rate {header['think_rate']:g}{named}"
    yield header["notes"]


def _describe_bound(rows: Sequence[TableRow]) -> Iterator[str]:
    """The bound of a gated run, and what it is made of, where it is known."""
    bound = next((row["bound_seconds"] for row in rows if row.get("share_of_bound") is not None), None)
    if bound is None or "think_rate" in rows[0]:
        return
    seconds = {row["system"]: row["seconds"] for row in rows}
    gated = next(row for row in rows if row["system"] == "transformers_gated")
    direct, always = seconds["transformers_direct"], seconds["transformers_always"]
    yield (
        f"bound of a gated run: {direct:.1f} + {gated['num_thinking']}/{gated['num_questions']} x"
        f" ({always:.1f} - {direct:.1f}) = {bound:.1f} s"
    )


def _shares(row: TableRow) -> str | None:
    """The parts of an engine's time, in percent; None for a system that does not tell them."""
    shares = [row.get(f"{part}_share") for part in ("vision", "prefill", "answer", "think")]
    return None if None in shares else "/".join(f"{100 * share:.0f}" for share in shares if share is not None)
