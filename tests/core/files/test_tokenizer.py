"""Prompts become the token ids CLIP was trained with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tooncrafter_core.files.tokenizer import tokenize

START, END = 49406, 49407
COMFYUI_TOKENIZER = Path(sys.prefix) / "comfyui" / "comfy" / "sd1_tokenizer"

PROMPTS = [
    "a photo of a cat",
    "An ANIME scene,  with\ttwo   spaces\nand a line",
    "it's they're we've I'd I'll I'm don't rock'n'roll",
    "16 frames, 1girl, 24fps!!! (masterpiece:1.2) <lora:x>",
    "café naïve Ångström",
    "走る少年 と 猫",
    "boy 🏃‍♂️ jumps 🎉",
    "under_score-and/slash\\back",
    "...",
    "straße İstanbul ΣΑΣ",
]


def ids(prompt: str) -> list[int]:
    """The tokens of a prompt that fits in one row, less start, end and padding."""
    (row,) = tokenize(prompt).tolist()
    end = row.index(END)
    assert row[0] == START and not any(row[end + 1 :])
    return row[1:end]


def test_known_ids() -> None:
    assert ids("") == []
    assert ids("a photo of a cat") == [320, 1125, 539, 320, 2368]
    assert ids("hello world!") == [3306, 1002, 256]


@pytest.fixture(scope="module")
def clip() -> Any:
    """The tokenizer of the package transformers with the vocabulary that ComfyUI carries."""
    transformers = pytest.importorskip("transformers")
    if not COMFYUI_TOKENIZER.is_dir():
        pytest.skip("ComfyUI's tokenizer files are not in this environment")
    return transformers.CLIPTokenizerFast.from_pretrained(str(COMFYUI_TOKENIZER))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_same_ids_as_transformers(prompt: str, clip: Any) -> None:
    assert [START, *ids(prompt), END] == clip(prompt)["input_ids"]


def test_case_spaces_and_entities_do_not_matter() -> None:
    assert ids("A  Photo\nof a CAT ") == ids("a photo of a cat")
    assert ids("salt &amp; pepper") == ids("salt &amp;amp; pepper") == ids("salt & pepper")


@pytest.mark.parametrize(("words", "rows"), [(1, 1), (75, 1), (76, 2), (150, 2), (151, 3)])
def test_long_prompts_go_on_in_further_rows(words: int, rows: int) -> None:
    tokens = tokenize("cat " * words)
    assert tokens.shape == (rows, 77)
    assert (tokens[:, 0] == START).all()
    assert [row.count(2368) for row in tokens.tolist()] == [*[75] * (rows - 1), words - 75 * (rows - 1)]
    assert all(row.count(END) == 1 for row in tokens.tolist())


def test_padding_is_0() -> None:
    (row,) = tokenize("cat").tolist()
    assert row == [START, 2368, END, *[0] * 74]
