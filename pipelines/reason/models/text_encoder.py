"""Text to token ids: markup, in which special tokens stand by their names, and ordinary text, in which nothing does.

A tokenizer looks for its added tokens in any text first, so that a question about `<|im_end|>` would end its own turn,
and one about `<|video_pad|>` would name frames that are not there. Ordinary text in which it finds one is encoded once
more, without added tokens: by the same rules that it has for all other words.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer

from framegate.pipelines.reason.asking.prompt import PromptText
from framegate.schemas.errors import EngineError


class TextEncoder:
    """A checkpoint's tokenizer as engines use it. A `str` is markup; of a `PromptText` the first part is ordinary."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._added = frozenset(tokenizer.added_tokens_decoder)

    def __call__(self, text: str | PromptText) -> list[int]:
        """Raises EngineError where ordinary text cannot be told from special tokens."""
        if isinstance(text, PromptText):
            return [*self.plain(text.plain), *self._markup(text.markup)]
        return self._markup(text)

    def plain(self, text: str) -> list[int]:
        """The ids of ordinary text, none of which is an added token's."""
        token_ids = self._markup(text)
        if self._added.isdisjoint(token_ids):
            return token_ids
        token_ids = self._without_added.encode(text, add_special_tokens=False).ids
        if not self._added.isdisjoint(token_ids):
            raise EngineError("the tokenizer makes special tokens of ordinary text, which a question holds")
        return token_ids

    def _markup(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)

    @cached_property
    def _without_added(self) -> Tokenizer:
        """A copy that knows no added token: made when it is needed first, in a tenth of a second or a few."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise EngineError("the model's tokenizer is none of the library tokenizers: give it with a tokenizer.json")
        document = json.loads(backend.to_str())
        return Tokenizer.from_str(json.dumps({**document, "added_tokens": [], "post_processor": None}))
