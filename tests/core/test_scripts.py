"""What scripts are given by mistake is told in one line and with status 2, before anything runs."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tooncrafter_core.training.clips.manifest import Clip, write_manifest

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "assets" / "tooncrafter-tiny"
NO_COUNT = "it is {}; expected 1 or more"


def rectifications(folder: Path, weights: Path) -> None:
    """`rectified`, trained variants without decoders, and `unreadable`, a data set whose only clip is not there."""
    (folder / "rectified").mkdir()
    (folder / "rectified" / "start.safetensors").symlink_to(weights)
    for variant in ("II", "III", "IV", "V"):
        (folder / "rectified" / f"rectification_{variant}").mkdir()
        (folder / "rectified" / f"rectification_{variant}" / "model.safetensors").symlink_to(weights)
    clip = Clip(folder / "unreadable" / "nope.mp4", 24.0, "", "held_out", "nope", "toon", 1.0)
    (folder / "unreadable").mkdir()
    write_manifest(folder / "unreadable" / "manifest.jsonl", [clip])


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train/pack_lora nope.safetensors", "no weight file at nope.safetensors"),
        ("train/pack_lora damaged.safetensors", "damaged.safetensors is not a complete safetensors file"),
        ("train/pack_tiny --run nope", "no weight file at nope/decoder/model.safetensors"),
        ("train/pack_tiny --run damaged", "model.safetensors is not a complete safetensors file"),
        ("train/pack_tiny --run sketch", "has no autoencoder"),
        ("train/pack_tiny --run whole --halfway-from sketch/decoder/model.safetensors", "--halfway-from has another"),
        ("train/pack_tiny --run half", "no weight file at half/joint/model.safetensors"),
        ("train/pack_tiny --run both", "both/joint/model.safetensors has no unet and no projector; expected"),
        ("measure/film_proof --film nope.mp4 --out out", "there is no file nope.mp4"),
        ("measure/film_proof --film nope.mp4 --out out --shots -1", NO_COUNT.format(-1)),
        ("endurance/kill_data_pipeline nope.mp4 out", "there is no file nope.mp4"),
        ("endurance/kill_data_pipeline nope.mp4 damaged", "damaged is there already; expected a new folder"),
        ("endurance/kill_data_pipeline nope.mp4 out --kills 0", NO_COUNT.format(0)),
        ("endurance/kill_training base --config nope.json --out out", "nope.json"),
        (
            "endurance/kill_training base --config nope.json --out damaged",
            "damaged is there already; expected a new folder",
        ),
        ("measure/easycache --perceptual nope.pth", "no weight file at nope.pth"),
        ("measure/easycache --scenes 0", NO_COUNT.format(0)),
        ("measure/steps --scenes 0", NO_COUNT.format(0)),
        ("measure/steps --perceptual nope.pth", "no weight file at nope.pth"),
        ("measure/frames --scenes 0", NO_COUNT.format(0)),
        ("measure/frames --scenes -3", NO_COUNT.format(-3)),
        ("measure/dtype --scenes 0", NO_COUNT.format(0)),
        ("measure/variants --out v --run nope --only decoder", "there is no file nope/decoder_none/model.safetensors"),
        (
            "measure/variants --out v --run rectified --set unreadable",
            "no file rectified/decoder_none/model.safetensors",
        ),
        (
            "measure/variants --out v --run rectified --set unreadable --only rectification",
            "none of the 1 held-out toon",
        ),
        ("measure/variants --out v --clips 0", NO_COUNT.format(0)),
        ("measure/batch overhead --shots 0", NO_COUNT.format(0)),
        ("measure/demo --demo nope", "nope has no folders of frames; expected those of scripts/demo.sh"),
        ("measure/demo --demo damaged.safetensors", "damaged.safetensors has no folders of frames"),
        ("measure/demo --demo whole/decoder", "whole/decoder has no folders of frames"),
        ("measure/demo --demo whole", "whole/decoder has 0 PNG files; expected 16"),
        ("measure/demo --demo few", "few/frames has 15 PNG files; expected 16"),
        ("measure/demo --demo many", "many/frames has 17 PNG files; expected 16"),
        (
            "measure/demo --demo mixed",
            "mixed/frames/15.png is 8 x 16 pixels, and mixed/frames/00.png is 16 x 8 pixels; expected frames",
        ),
        ("measure/demo --demo text", "00.png"),
        ("benchmarks/profile_cpu --checkpoint nope.ckpt", "no weight file at nope.ckpt"),
        (
            "benchmarks/stage_times --small --beside nope",
            "nope has no tooncrafter_core; expected the root folder of a checkout",
        ),
        ("benchmarks/stage_times --small --runs 0", "--runs is 0; expected 1 or more"),
        ("endure kills --count 0", NO_COUNT.format(0)),
        ("measure/data_memory damaged", "damaged is there already; expected a new folder"),
        ("measure/data_memory out --shots 0", NO_COUNT.format(0)),
        ("measure/memory --checkpoint nope", "there is no nope; expected a checkpoint, or a name in .ckpt"),
        ("measure/memory --checkpoint new.ckpt --frames -1", "frames"),
    ],
)
def test_mistakes(
    command: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "damaged.safetensors").write_bytes(b"damaged")
    runs = {
        "damaged": tmp_path / "damaged.safetensors",
        "sketch": TINY / "tooncrafter-tiny-sketch.safetensors",
        "whole": TINY / "tooncrafter-tiny.safetensors",
        "half": TINY / "tooncrafter-tiny.safetensors",
        "both": TINY / "tooncrafter-tiny.safetensors",
    }
    for name, file in runs.items():
        (tmp_path / name / "decoder").mkdir(parents=True)
        (tmp_path / name / "decoder" / "model.safetensors").symlink_to(file)
    for name, files in {"half": ["sketch"], "both": ["sketch", "model"]}.items():
        (tmp_path / name / "joint").mkdir()
        for file_name in files:
            (tmp_path / name / "joint" / f"{file_name}.safetensors").symlink_to(runs["sketch"])
    for name, count in {"few": 15, "many": 17, "mixed": 16, "text": 16}.items():
        (tmp_path / name / "frames").mkdir(parents=True)
        for number in range(count):
            size = (8, 16) if (name, number) == ("mixed", 15) else (16, 8)
            Image.new("RGB", size).save(tmp_path / name / "frames" / f"{number:02}.png")
    (tmp_path / "text" / "frames" / "00.png").write_text("text")
    rectifications(tmp_path, runs["whole"])
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    name, *arguments = command.split()
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "scripts" / f"{name}.py"), run_name="__main__")
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert message in told.splitlines()[-1] and "error: " in told and "Traceback" not in told
    assert sorted(tmp_path.rglob("*")) == before


def test_scripts_have_a_parser_and_find_the_core_from_anywhere() -> None:
    """So that --help is an answer and not the work. Read, not run: some take minutes and write into the repository."""
    # Hands everything to ComfyUI's parser, takes that of `stage_times`; lies beside the core.
    without_parser, packed = {"comfy_harness/main.py", "benchmarks/profile_cpu.py"}, {"train/train_bundle.py"}
    folder = ROOT / "scripts"
    sources = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.py")}
    scripts = {name: source for name, source in sources.items() if '__name__ == "__main__"' in source}
    assert len(scripts) > 30
    assert {name for name, source in scripts.items() if "parse_args(" not in source} == without_parser
    lost = {
        name for name, source in scripts.items() if "tooncrafter_core" in source and "sys.path.insert" not in source
    }
    assert lost == packed
