"""The pages that people read, and what stands in them: code blocks, tables, links."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES: dict[str, str] = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}


def prose(page: str) -> list[tuple[int, str]]:
    """Lines with their numbers, without code blocks and tables."""
    lines, is_fenced = [], False
    for number, line in enumerate(page.splitlines(), start=1):
        is_fence = line.startswith("```")
        is_fenced ^= is_fence
        if not (is_fence or is_fenced or line.startswith(("    ", "|"))):
            lines.append((number, line))
    return lines


def code_blocks(page: str) -> list[str]:
    """Code blocks, indented or fenced, without their indent; one in a list item has more of it."""
    blocks: list[list[str]] = []
    is_fenced, is_open = False, False
    for line in page.splitlines():
        if line.startswith("```"):
            is_fenced, is_open = not is_fenced, False
        elif is_fenced or line.startswith("    ") or (is_open and not line):
            if not is_open:
                blocks.append([])
            blocks[-1].append(line)
            is_open = True
        else:
            is_open = False
    return [_dedent(block) for block in blocks]


def _dedent(lines: list[str]) -> str:
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(line[indent:] for line in lines).strip("\n") + "\n"


def section(page: str, title: str) -> str:
    """What stands below a heading of the second level."""
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables' rows, without heads and rules; backquotes around a whole cell are left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rules = {n for n, line in enumerate(lines) if re.fullmatch(r"[|:\- ]+", line) and "---" in line}
    kept = [line for n, line in enumerate(lines) if n not in rules and n + 1 not in rules]
    return [[_bare(cell.strip()) for cell in line.strip("|").split(" | ")] for line in kept]


def _bare(cell: str) -> str:
    return cell[1:-1] if re.fullmatch(r"`[^`]+`", cell) else cell


def anchors(page: str) -> set[str]:
    """What a link may point at: a heading's words as GitHub writes them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
