"""`python -m tooncrafter_core.training`: what it refuses, before it has written anything, and that it trains."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from small_training import MODEL, Workshop, run, write_start

from tooncrafter_core.training.__main__ import TRAININGS, main
from tooncrafter_core.training.clips import cache
from tooncrafter_core.training.clips.manifest import Clip, write_manifest
from tooncrafter_core.training.run import engine
from tooncrafter_core.training.tasks import decoder


@pytest.fixture
def command(workshop: Workshop, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Callable[..., tuple[int, str]]:
    """Run the command with changed settings; returns its exit code and what it says."""

    @torch.enable_grad()
    def go(name: str, **changes: Any) -> tuple[int, str]:
        path = tmp_path / "settings.json"
        path.write_text(json.dumps(workshop.entries(name, tmp_path / "run", **changes)))
        caplog.set_level(logging.INFO)
        with torch.random.fork_rng(devices=[]):
            return main([name, "--config", str(path)]), caplog.text

    return go


@pytest.fixture
def refusal(command: Callable[..., tuple[int, str]], tmp_path: Path) -> Callable[..., str]:
    def refuse(name: str, **changes: Any) -> str:
        code, said = command(name, **changes)
        assert code == 2
        assert "Traceback" not in said
        assert not (tmp_path / "run").exists()
        return said

    return refuse


def unreadable(folder: Path) -> str:
    """A list of clips that are no clips."""
    (folder / "empty").mkdir()
    write_manifest(folder / "clips.jsonl", [Clip(folder / "empty", 24.0, "", "train", "a", "toon", 1.0)])
    return str(folder / "clips.jsonl")


def test_a_whole_training(command: Callable[..., tuple[int, str]], workshop: Workshop, tmp_path: Path) -> None:
    """What the command writes is what the same task writes that is made by hand."""
    code, said = command("rectify", steps=2)
    assert code == 0
    assert f"checkpoint: {tmp_path / 'run' / 'model.safetensors'}" in said
    by_hand = run(workshop.settings("rectify", tmp_path / "by_hand", steps=2))
    assert by_hand.read_bytes() == (tmp_path / "run" / "model.safetensors").read_bytes()
    names = {path.name for path in (tmp_path / "run").iterdir() if "tfevents" not in path.name}
    assert names == {"cache", "metrics.csv", "model.safetensors", "state.pt", "strips"}
    assert Image.open(tmp_path / "run" / "strips" / "0000002.png").size == (8 * 32, 4 * 32)


@pytest.mark.parametrize("minutes", ["nan", "0", "-1"])
def test_no_time_to_train(minutes: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main(["base", "--config", str(tmp_path / "absent.json"), "--minutes", minutes]) == 2
    assert f"--minutes is {minutes}; expected more than 0" in caplog.text


def test_wrong_settings(refusal: Callable[..., str]) -> None:
    assert "steps: Input should be a valid integer" in refusal("base", steps="x")
    assert "there is no file" in refusal("sketch", start="absent.ckpt")


@pytest.mark.parametrize("name", TRAININGS)
def test_clips_of_another_domain_or_split(name: str, refusal: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    write_manifest(
        tmp_path / "clips.jsonl",
        [
            Clip(tmp_path / "clip", 24.0, "", "train", "a", "film", 1.0),
            Clip(tmp_path / "clip", 24.0, "", "held_out", "b", "toon", 1.0),
        ],
    )
    assert "has no clip to train on in the domains toon" in refusal(name, clips=str(tmp_path / "clips.jsonl"))


def test_a_list_that_is_no_clip_list(refusal: Callable[..., str]) -> None:
    assert "line 1 is not JSON" in refusal("base", clips=__file__)


@pytest.mark.parametrize("name", TRAININGS)
def test_unreadable_clips(name: str, refusal: Callable[..., str], tmp_path: Path) -> None:
    """The message is as short when another process reads them."""
    said = refusal(name, clips=unreadable(tmp_path), workers=1)
    assert "20 clips in a row could not be read" in said
    assert f"{tmp_path / 'empty'}: has 0 frames" in said


@pytest.mark.parametrize("name", ["base", "rectify", "decoder", "sketch", "distil"])
def test_a_start_that_is_no_checkpoint(name: str, refusal: Callable[..., str]) -> None:
    assert "is not a weight file that can be read" in refusal(name, start=__file__)


@pytest.mark.parametrize("name", ["base", "rectify", "sketch", "distil"])
def test_a_start_that_lacks_a_part(name: str, refusal: Callable[..., str], tmp_path: Path) -> None:
    write_start(tmp_path / "pruned.safetensors", replace(MODEL, text=None, vision=None))
    said = refusal(name, start=str(tmp_path / "pruned.safetensors"))
    assert "has unet, autoencoder, projector; this training needs unet, autoencoder, projector, text and vision" in said


def test_other_files_that_are_no_weights(refusal: Callable[..., str]) -> None:
    assert "not a weight file" in refusal("decoder", perceptual=[__file__])
    assert "not a weight file" in refusal("sketch", lines=__file__)


def test_an_earlier_round_that_is_no_lora(refusal: Callable[..., str], workshop: Workshop) -> None:
    assert "is no LoRA of the training `distil`" in refusal("distil", begin=str(workshop.start))


def test_sizes_that_no_checkpoint_tells(refusal: Callable[..., str], workshop: Workshop, tmp_path: Path) -> None:
    model = workshop.entries("autoencoder", tmp_path)["model"]
    with_heads = model | {"text": model["text"] | {"heads": 2}}
    assert "text.heads is 2, which does not show in a checkpoint" in refusal("autoencoder", model=with_heads)
    dual = model | {"autoencoder": model["autoencoder"] | {"dual_reference": True}}
    assert "expected false until the training `decoder`" in refusal("autoencoder", model=dual)


def test_the_state_of_another_training(command: Callable[..., tuple[int, str]]) -> None:
    assert command("rectify", variant="V", steps=1)[0] == 0
    code, said = command("rectify", variant="IV")
    assert code == 2
    assert "state.pt is of a training of other tensors" in said


def test_a_disk_that_fills_up(
    command: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", no_room)
    code, said = command("rectify", steps=1)
    assert code == 1
    assert f"cannot write {tmp_path / 'run' / 'state.pt'}: No space left on device" in said
    assert not [*tmp_path.glob("**/unfinished-*")]


@pytest.mark.parametrize("output", ["/dev/null", "/proc/run", f"{__file__}/run", f"/tmp/{'a' * 300}"])
def test_an_output_that_cannot_be_written(output: str, command: Callable[..., tuple[int, str]]) -> None:
    """Before anything is read."""
    code, said = command("rectify", output=output, start=__file__)
    assert code == 2
    assert f"cannot write {output}/model.safetensors" in said


def test_a_file_in_place_of_the_strips(command: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """Told at once, not when the first strip is due."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "strips").touch()
    code, said = command("rectify", start=__file__)
    assert code == 2
    assert f"{tmp_path / 'run' / 'strips'} is a file, not a folder" in said


@pytest.mark.parametrize("folder", ["/proc/cache", f"{__file__}/cache", f"/tmp/{'a' * 300}"])
def test_a_cache_that_cannot_be_written(
    folder: str, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is encoded."""
    monkeypatch.setattr(cache, "_compute", lambda *_: pytest.fail("segments are encoded"))
    assert f"cannot write {folder}/segments-" in refusal("base", cache=folder)


def test_ctrl_c_ends_it_in_words(command: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine.Run, "_take_step", interrupted)
    code, said = command("decoder")
    assert code == 130
    assert "interrupted after step 0; started again, it goes on" in said and "Traceback" not in said
    monkeypatch.setattr(decoder, "read_checkpoint", interrupted)
    code, said = command("decoder")
    assert code == 130
    assert "interrupted before a step" in said and "Traceback" not in said


def test_memory_that_is_short(command: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 36864000000000 bytes.")

    monkeypatch.setattr(decoder, "read_checkpoint", too_much)
    code, said = command("decoder")
    assert code == 1
    assert "Making the models and reading the clips ran out of memory" in said and "gradient_checkpointing" in said


def test_more_segments_than_memory_holds(refusal: Callable[..., str]) -> None:
    assert "1000000000 segments take " in refusal("rectify", segments=10**9)


def test_every_name_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in TRAININGS)
    with pytest.raises(SystemExit) as exit_:
        main(["nothing"])
    assert exit_.value.code == 2
