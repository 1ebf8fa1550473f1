"""Arguments with nothing in them, such as variables of a shell that are not set: every command refuses them."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

COMMANDS = {
    "__main__ inspect": ["FILE"],
    "__main__ interpolate": ["KEYFRAME", "-o", "-c", "--sketch-encoder", "--contact-sheet"],
    "__main__ batch": ["LIST", "--out", "-c", "--sketch-encoder", "--address"],
    "__main__ shots": ["SOURCE", "-o"],
    "training.__main__ base": ["--config"],
    "data.build": ["FOLDER", "--downloads"],
    "data.bundle": ["ARCHIVE", "--data"],
    "data.prepare.__main__": ["FILM", "--out", "--config", "--address"],
    "evaluation.__main__": ["--truth", "--table", "--model", "--perceptual", "--clip", "--features"],
    "evaluation.held_out": ["--data", "--out"],
    "evaluation.ladder": ["MODEL", "--data", "--perceptual", "--out"],
    "evaluation.length": ["--model", "--perceptual", "--out"],
    "evaluation.report.__main__": [
        *("--model", "--sketch-encoder", "--lora", "--data", "--perceptual", "--out", "--keyframes"),
    ],
    "evaluation.report.cost": ["--model"],
    "evaluation.steps": ["MODEL", "--data", "--perceptual", "--out"],
}
"""What takes a path, by command; those in capitals have no option."""


@pytest.mark.parametrize(
    ("command", "argument"), [(command, argument) for command, paths in COMMANDS.items() for argument in paths]
)
def test_nothing_in_place_of_a_path(
    command: str, argument: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module, *name = command.split()
    given = [argument, ""] if argument.startswith("-") else [""]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [module, *name, *given])
    with pytest.raises(SystemExit) as ended:
        import_module(f"tooncrafter_core.{module}").main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "it is empty; expected a path or a name. Give one, or . for the working folder" in said
    assert (argument if argument.startswith("-") else "") in said
