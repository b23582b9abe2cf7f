"""The process in which a checkpoint's tokenizer is tried out. Run as a script, apart from the package.

One line of JSON comes in: the files, the texts, and the size of the vocabulary. One goes out: `{}`, or what is wrong.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any


def main() -> None:
    task = json.loads(sys.stdin.read())
    for kind, limit in (
        (resource.RLIMIT_AS, task["memory_bytes"]),
        (resource.RLIMIT_CPU, task["seconds"]),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    print(json.dumps(_try(task)))


def _try(task: dict[str, Any]) -> dict[str, str]:
    from tokenizers import Tokenizer

    try:
        whole = _load(task)
        # As engines encode a question in which an added token stands: see `text_encoder`.
        document = {**json.loads(whole.to_str()), "added_tokens": [], "post_processor": None}
        plain = Tokenizer.from_str(json.dumps(document))
    except BaseException as error:  # panics of the library are no Exception
        return {"wrong": f"cannot be loaded: {_first_line(error)}"}
    largest = max(whole.get_vocab(with_added_tokens=True).values(), default=-1)
    if largest >= task["vocab_size"]:
        return {"wrong": f"has the token id {largest}, and the model's vocab_size is {task['vocab_size']}"}
    for text in task["texts"]:
        for tokenizer in (whole, plain):
            try:
                num_tokens = len(tokenizer.encode(text, add_special_tokens=False).ids)
            except BaseException as error:
                return {"wrong": f"cannot encode {text[:40]!r}: {_first_line(error)}"}
            if num_tokens > len(text.encode()):
                return {"wrong": f"makes {num_tokens} tokens of the {len(text.encode())} bytes of {text[:40]!r}"}
    return {}


def _first_line(error: BaseException) -> str:
    """Printable, and of at most 200 characters."""
    line = str(error).strip().partition("\n")[0][:200]
    return line if line.isprintable() else ascii(line)[:200]


def _load(task: dict[str, Any]) -> Any:
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import BPE

    if task["tokenizer"] is not None:
        return Tokenizer.from_file(task["tokenizer"])
    tokenizer = Tokenizer(BPE.from_file(task["vocabulary"], task["merges"]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


if __name__ == "__main__":
    main()
