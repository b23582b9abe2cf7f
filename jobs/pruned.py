"""What `framegate calibrate` says of pruning: how much of it is certified, and what each level changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framegate.jobs.printing import print_table, say

if TYPE_CHECKING:
    from rich.console import Console

    from framegate.pipelines.certify.prunes import PruneFindings
    from framegate.schemas.certified_pruning import PruneCertificate, PruneLevel


def print_prunes(console: Console, prunes: PruneFindings) -> None:
    """The certificate of all rows in a sentence, its levels and those of questions as tables."""
    if prunes.num_uncovered:
        say(
            f"pruning, not covered: {prunes.num_uncovered:,} rows that were answered while none was answered without"
            " pruning, or that no gate decided about"
        )
    if not prunes.certificates:
        return
    whole, *questions = prunes.certificates
    say(describe_prune(whole))
    print_table(
        console,
        ("level", "audited", "different", "bound", "video tokens", "prompts", "within"),
        [_level_row(each, whole) for each in whole.levels],
        title="Pruning, by level",
    )
    together = 1 - questions[0].delta * questions[0].num_together if questions else 0.0
    print_table(
        console,
        ("question", "level", "audited", "different", "bound", "video tokens", "missing"),
        [_question_row(each) for each in questions],
        title=f"Pruning, by question; all {len(questions)} hold together with probability {together:.2%}",
    ) if questions else None


def describe_prune(whole: PruneCertificate) -> str:
    """In a sentence."""
    what, chance = "clips" if whole.unit == "clip" else "rows", f"with probability {1 - whole.delta:.2%}"
    first, found = whole.levels[0], whole.certified
    if found is not None:
        return (
            f"pruning: level {found.level:g} of frames.prune: {chance} at most {found.bound:.2%} of the archive's"
            f" {what} have another answer than without pruning (asked for: {whole.epsilon:.2%}). {found.num_rows:,} of"
            f" {found.population:,} were answered both ways, and {found.num_different:,} differ;"
            f" {found.video_share:.1%} of their video tokens stay"
        )
    said = (
        f"pruning: no level is certified: {first.num_rows:,} of {first.population:,} {what} were answered both ways at"
        f" {first.level:g}, and {first.num_different:,} differ: {chance} at most {first.bound:.2%} of all do (asked"
        f" for: {whole.epsilon:.2%})"
    )
    return f"{said}, which is {whole.num_missing:,} too few" if whole.num_missing else said


def _level_row(each: PruneLevel, whole: PruneCertificate) -> dict[str, object]:
    return {
        "level": each.level,
        "audited": each.num_rows,
        "different": each.num_different,
        "bound": each.bound,
        "video tokens": each.video_share,
        "prompts": each.prompt_share,
        "within": whole.level is not None and each.level <= whole.level,
    }


def _question_row(each: PruneCertificate) -> dict[str, object]:
    """Of the level that is certified, else of the lowest one."""
    shown = each.certified or each.levels[0]
    return {
        "question": each.question_id,
        "level": each.level,
        "audited": shown.num_rows,
        "different": shown.num_different,
        "bound": shown.bound,
        "video tokens": shown.video_share,
        "missing": each.num_missing or None,
    }
