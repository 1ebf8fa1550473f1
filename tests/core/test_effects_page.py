"""docs/effects.md shows every picture that its script draws, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from draw.effects import EFFECTS, FOLDER

PAGE = Path(__file__).resolve().parents[2] / "docs" / "effects.md"


def test_every_effect_is_on_the_page() -> None:
    shown = re.findall(r"\]\(effects/(\w+)\.png\)", PAGE.read_text(encoding="utf-8"))
    assert shown == list(EFFECTS) == [name for name in shown if (FOLDER / f"{name}.png").is_file()]
