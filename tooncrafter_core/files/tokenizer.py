"""CLIP's byte-pair tokenizer, offline: the merges ship in `data/` (Radford et al. 2021, section 2.4)."""

from __future__ import annotations

import gzip
import html
from functools import cache
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from ..inputs import shortened

_MERGES = Path(__file__).parent / "clip_merges.txt.gz"
_END_OF_WORD = "</w>"
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
CONTEXT_LENGTH = 77
"""Tokens of a row."""
VOCABULARY = 49408
_PADDING = 0


@cache
def _tokenizer() -> Tokenizer:
    with gzip.open(_MERGES, "rt", encoding="utf-8") as file:
        merges = [tuple(line.split()) for line in file]
    symbols = _byte_symbols()
    entries = [*symbols, *(s + _END_OF_WORD for s in symbols), *("".join(pair) for pair in merges)]
    vocabulary = {entry: index for index, entry in enumerate(entries)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix=_END_OF_WORD))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def _byte_symbols() -> list[str]:
    """One printable character for each byte, in the vocabulary's order: printable bytes stand for themselves
    and come first; the others follow and are shifted past 255."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]


def tokenize(prompt: str) -> Tensor:
    """Token ids of a prompt.

    Args:
        prompt: any text. HTML entities are resolved and case is ignored, as in CLIP.

    Returns:
        (n, 77) int64: start, up to 75 tokens, end, then zeros. A prompt that needs more than 75 tokens goes on in
        further rows; n is 1 otherwise, also for the empty prompt.

    Raises:
        ValueError: half of a character (a lone surrogate), as file names of another encoding give.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in prompt):
        raise ValueError(f"the prompt {shortened(prompt)} holds half of a character; write it again")
    tokenizer = _tokenizer()
    start = tokenizer.get_vocab_size()
    ids = tokenizer.encode(html.unescape(html.unescape(prompt)), add_special_tokens=False).ids
    room = CONTEXT_LENGTH - 2
    rows = torch.full((max(-(-len(ids) // room), 1), CONTEXT_LENGTH), _PADDING)
    for index, row in enumerate(rows):
        piece = [start, *ids[index * room : (index + 1) * room], start + 1]
        row[: len(piece)] = torch.tensor(piece)
    return rows
