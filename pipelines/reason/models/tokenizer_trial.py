"""A checkpoint's tokenizer, tried out before any work: on the very texts that a job will have it encode.

Rules of a tokenizer.json are regular expressions and replacements: some take for ever, or fill memory, on some texts.
No look at them tells which. So they run in a process of their own, with a deadline and little memory, on the job's
own texts: what an engine encodes later is the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from framegate.pipelines.reason.models import tokenizer_child
from framegate.pipelines.reason.models.file_digests import digest_files
from framegate.pipelines.reason.models.model_files import ModelFiles
from framegate.schemas.errors import EngineError

DEADLINE_SECONDS = 30  # a vocabulary of 151,000 tokens loads in one or two
MEMORY_BYTES: Final = 4 << 30  # it takes 0.3 GiB
FILES: Final = ("tokenizer.json", "vocab.json", "merges.txt")


def try_tokenizer(files: ModelFiles, texts: Sequence[str], *, vocab_size: int) -> None:
    """Raises EngineError, one sentence, for a tokenizer that is none, takes too long, or has tokens beyond the
    model's."""
    for file in FILES:
        files.read(file)  # that none is too large
    paths = [files.here(file) for file in FILES]
    if paths[0] is None and None in paths[1:]:
        raise EngineError(f"model '{files.name}' has no tokenizer.json: it is not a complete checkpoint")
    digests = digest_files([path for path in paths if path is not None])
    wrong = _try(tuple(paths), tuple(digests), tuple(dict.fromkeys(texts)), vocab_size, DEADLINE_SECONDS)
    if wrong is not None:
        raise EngineError(f"the tokenizer of model '{files.name}' {wrong}")


@lru_cache(maxsize=16)
def _try(
    paths: tuple[Path | None, ...], digests: tuple[str, ...], texts: tuple[str, ...], vocab_size: int, seconds: int
) -> str | None:
    """What is wrong, half a sentence. `digests`: so that files that have changed are tried again."""
    tokenizer, vocabulary, merges = (None if path is None else str(path) for path in paths)
    task = {
        "tokenizer": tokenizer,
        "vocabulary": vocabulary,
        "merges": merges,
        "texts": [text.encode(errors="replace").decode() for text in texts],
        "vocab_size": vocab_size,
        "memory_bytes": MEMORY_BYTES,
        "seconds": seconds,
    }
    late = f"takes more than {seconds} seconds, or {MEMORY_BYTES >> 30} GiB, for the job's questions"
    try:
        ended = subprocess.run(
            [sys.executable, "-I", str(tokenizer_child.__file__)],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            # Nothing of ours: no token, no proxy, one thread.
            env={"PATH": os.defpath, "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        return late
    try:
        return json.loads(ended.stdout).get("wrong")
    except (ValueError, AttributeError):
        if ended.returncode < 0 or "memory allocation" in ended.stderr:
            return late
        return f"cannot be tried out: its process ended with {ended.returncode}"
