"""Lists of seeds are read as they are meant."""

from __future__ import annotations

import pytest

from tooncrafter_core.sampling.seeds import LARGEST, parse_seeds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", [0]), ("3, 1", [3, 1]), (" 1, 7 - 9, ", [1, 7, 8, 9]), (str(LARGEST), [LARGEST]), ("007", [7])],
)
def test_seeds(text: str, expected: list[int]) -> None:
    assert parse_seeds(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 seeds"),
        ("one", "cannot read 'one'"),
        ("-1", "cannot read '-1'"),
        ("9-7", "rising"),
        ("1, 0-2", "1 is given more than once"),
        (str(LARGEST + 1), "from 0 to"),
        ("0-99999999999", "at most 64"),
        ("0-40, 50-90", "82 seeds"),
        ("9" * 5000, "cannot read '9999"),
        ("0-" + "9" * 5000, "cannot read '0-9999"),
        ("\N{ARABIC-INDIC DIGIT TWO}", "cannot read"),
    ],
)
def test_what_is_no_list_of_seeds(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_seeds(text)
