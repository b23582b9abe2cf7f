"""`framegate bench engines`: our engines and what people would use instead, on one piece of work."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from framegate.jobs.printing import Row, cell, make_console, print_table, write_json
from framegate.schemas.errors import ConfigError

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
GATING_HEADINGS = ("engine", "num_pairs", "gated_seconds", "always_seconds", "ratio")
SCALED = ("transformers_direct", "transformers_gated", "transformers_always", "vllm_gated")
WITHOUT_VLLM = "vLLM is not installed, its systems are left out; get it with: make setup-vllm"


def engines(
    family: Annotated[str, typer.Option(help="Shape of the model: qwen2_5_vl or qwen3_vl.")] = "qwen2_5_vl",
    parameters: Annotated[str, typer.Option(metavar="N", help="About so many: 1M, 180M, 7B.")] = "180M",
    videos: Annotated[int, typer.Option(min=1, help="Clips, one of each video.")] = 8,
    questions: Annotated[int, typer.Option(min=1, max=256, help="Asked of each clip.")] = 4,
    frames: Annotated[int, typer.Option(min=1, help="Of each clip.")] = 16,
    size: Annotated[int, typer.Option(min=28, help="Pixels, height and width of a frame.")] = 224,
    answer_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Of each first answer.")] = 8,
    thinking_tokens: Annotated[int, typer.Option(min=1, max=65_536, help="Of each that thinks.")] = 128,
    think_rate: Annotated[float, typer.Option(min=0, max=1, help="The share that thinks.")] = 0.3,
    systems: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these systems.", show_default="all that are installed")
    ] = None,
    dtype: Annotated[str, typer.Option(help="bfloat16, float16 or float32.")] = "bfloat16",
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Rounds of all systems.", show_default="1; 5 with --gating-cost")
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(metavar="AXIS", help="Over a range of think-rate (0-1), questions (1-32) or frames (8-128)."),
    ] = None,
    gating_cost: Annotated[
        bool, typer.Option("--gating-cost", help="Where all think: gated beside always, of the same engine.")
    ] = False,
    vllm_python: Annotated[
        Path | None,
        typer.Option(metavar="PYTHON", help="That has vLLM.", show_default=".venv-vllm/bin/python, else this one"),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keeps the checkpoint there.", show_default="a temporary folder"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "--json", metavar="FILE", help="Also write header and rows as JSON."),
    ] = None,
) -> None:
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
    weights are often undecided between two tokens; in float32 all agree. step/floor is the time of a decode step over
    that of reading its weights and keys at the measured bandwidth, or of its operations at the measured rate.

    [bold]Examples[/bold]

      framegate bench engines --output engines.json

      framegate bench engines --systems two_call,transformers_gated --repeats 3

      framegate bench engines --scale think-rate --videos 4

      framegate bench engines --gating-cost

      framegate bench engines --parameters 7B --device cuda --videos 64
    """
    from framegate.pipelines.lab.bench.engines.checkpoint import make_checkpoint
    from framegate.pipelines.lab.bench.engines.machine import count_cores, measure_machine
    from framegate.pipelines.lab.bench.engines.measure import GATING_PAIRS, RANGES, EngineBench
    from framegate.pipelines.lab.bench.engines.run import Interpreters, find_vllm_python
    from framegate.pipelines.lab.bench.engines.shapes import parse_parameters
    from framegate.pipelines.lab.bench.engines.systems import SYSTEMS
    from framegate.pipelines.lab.bench.engines.work import EngineWork

    if not Path("/proc/self/status").exists():
        raise ConfigError("framegate bench engines reads memory from Linux's /proc, which is not there; use Linux")
    if dtype not in ("bfloat16", "float16", "float32"):
        raise ConfigError(f"--dtype: '{dtype}' is unknown; use bfloat16, float16 or float32")
    if scale is not None and scale not in RANGES:
        raise ConfigError(f"--scale: '{scale}' is unknown; use one of: {', '.join(RANGES)}")
    if scale is not None and gating_cost:
        raise ConfigError("--scale and --gating-cost are two measurements; give one of them")
    num_parameters = parse_parameters(parameters)
    vllm = find_vllm_python(vllm_python)
    usual = SCALED if scale else tuple(GATING_PAIRS.values()) if gating_cost else tuple(SYSTEMS)
    chosen = _choose_systems(systems, usual, has_vllm=vllm is not None)
    if gating_cost and (others := [name for name in chosen if name not in GATING_PAIRS.values()]):
        allowed = ", ".join(GATING_PAIRS.values())
        raise ConfigError(f"--systems: with --gating-cost use some of: {allowed}; got {', '.join(others)}")
    console = make_console()
    if vllm is None and systems is None:
        console.print(WITHOUT_VLLM, style="yellow")
    work = EngineWork(
        num_videos=videos, num_questions=questions, num_frames=frames, size=size,
        num_answer_tokens=answer_tokens, num_thinking_tokens=thinking_tokens,
    )  # fmt: skip
    with _keep(folder) as home, _progress(console) as on_run:
        on_run("making a checkpoint", 0)
        checkpoint = make_checkpoint(home, family, num_parameters, seed=1)
        on_run("measuring the machine", 0)
        bench = EngineBench(
            checkpoint=checkpoint, machine=measure_machine(dtype, device, count_cores()), dtype=dtype, device=device,
            interpreters=Interpreters(vllm=vllm), on_run=on_run,
        )  # fmt: skip
        if gating_cost:
            names = [engine for engine, system in GATING_PAIRS.items() if system in chosen]
            rows = bench.gating_cost(work, names, num_pairs=repeats or 5)
        elif scale is not None:
            rows = bench.scale(work, chosen, cast(Any, scale), think_rate=think_rate, num_repeats=repeats or 1)
        else:
            rows = bench.measure(work, chosen, think_rate=think_rate, num_repeats=repeats or 1)
    header = bench.header(work, rows, think_rate=None if gating_cost or scale == "think-rate" else think_rate)
    write_json(output, "bench engines", rows, header=header)
    _print(console, header, rows, first={"questions": "questions", "frames": "frames"}.get(scale or "", "think_rate"))
    if any(row.get("complaint") for row in rows):
        raise typer.Exit(1)


def _choose_systems(text: str | None, usual: Sequence[str], *, has_vllm: bool) -> list[str]:
    from framegate.pipelines.lab.bench.engines.systems import SYSTEMS, VLLM_SYSTEMS

    if text is None:
        return [name for name in usual if has_vllm or name not in VLLM_SYSTEMS]
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    if unknown := [name for name in names if name not in SYSTEMS]:
        raise ConfigError(f"--systems: '{', '.join(unknown)}' is unknown; use some of: {', '.join(SYSTEMS)}")
    if not has_vllm and (needy := [name for name in names if name in VLLM_SYSTEMS]):
        raise ConfigError(f"--systems: {', '.join(needy)} needs vLLM, which is not installed; get it: make setup-vllm")
    return names


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


def _print(console: Console, header: Mapping[str, Any], rows: Sequence[Row], *, first: str) -> None:
    for line in _describe(header, {} if first in rows[0] else _thresholds(rows)):
        console.print(line, markup=False, highlight=False)
    rows = [{**row, "shares": _shares(row)} for row in rows]
    named = {name: name for name in GATING_HEADINGS} if "engine" in rows[0] else {first: first, **HEADINGS}
    # Without two_call nothing is compared with it.
    headings = {name: named[name] for name in named if any(row.get(name) is not None for row in rows)}
    shown = [{heading: row[name] for name, heading in headings.items()} for row in rows]
    print_table(console, tuple(headings.values()), shown)
    for row in rows:
        if row.get("complaint"):
            console.print(f"{row.get('system') or row['engine']}: {row['complaint']}", style="bold red", markup=False)


def _thresholds(rows: Sequence[Row]) -> dict[str, float]:
    """By system, of those that have one."""
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


def _shares(row: Row) -> str | None:
    """Of the engine's time, in percent."""
    shares = [row.get(f"{part}_share") for part in ("vision", "prefill", "answer", "think")]
    return None if None in shares else "/".join(f"{100 * share:.0f}" for share in shares if share is not None)
