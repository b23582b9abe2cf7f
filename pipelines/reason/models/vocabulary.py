"""The bytes that each token writes: the table that turns written tokens into text, each token once.

Byte-level BPE writes every byte as one printable character of a fixed alphabet; the table reads it backwards. Special
tokens write their own names.
"""

from __future__ import annotations

from collections.abc import Mapping

from framegate.schemas.errors import EngineError


def byte_alphabet() -> dict[str, int]:
    """Character -> byte of the alphabet that byte-level BPE (GPT-2's) writes its vocabulary in.

    Printable bytes stand for themselves; the 68 others follow from U+0100 on, in order.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def token_pieces(vocabulary: Mapping[str, int], added: Mapping[int, str], num_ids: int) -> list[bytes]:
    """The bytes of each token id below `num_ids`; an id without a token writes nothing.

    Raises EngineError where the vocabulary is not byte-level BPE.
    """
    alphabet = byte_alphabet()
    pieces = [b""] * num_ids
    for token, token_id in vocabulary.items():
        if token_id in added or token_id >= num_ids:
            continue
        try:
            pieces[token_id] = bytes(alphabet[character] for character in token)
        except KeyError as error:
            raise EngineError(
                f"the tokenizer is not byte-level BPE: its token {token!r} holds the character {error.args[0]!r}"
            ) from None
    for token_id, text in added.items():
        if token_id < num_ids:
            pieces[token_id] = text.encode()
    return pieces
