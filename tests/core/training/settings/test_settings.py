"""Settings files: what is read from them, and what is refused with the entry's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_training import Workshop

from tooncrafter_core.training.__main__ import TRAININGS
from tooncrafter_core.training.settings.run import SettingsError, read_settings
from tooncrafter_core.training.settings.tasks import RectifySettings

RECIPES = Path(__file__).resolve().parents[4] / "assets" / "tooncrafter-tiny" / "recipe"

Refusal = Callable[..., str]


@pytest.fixture
def refusal(workshop: Workshop, tmp_path: Path) -> Refusal:
    """The message with which changed settings are refused."""

    def refuse(name: str, **changes: Any) -> str:
        path = tmp_path / "settings.json"
        path.write_text(json.dumps(workshop.entries(name, tmp_path / "run", **changes)))
        with pytest.raises(SettingsError) as error:
            read_settings(TRAININGS[name].settings, path)
        message = str(error.value)
        assert str(path) in message
        return message

    return refuse


@pytest.mark.parametrize("name", TRAININGS)
def test_settings_of_every_training(name: str, workshop: Workshop, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(workshop.entries(name, tmp_path / "run")))
    read = read_settings(TRAININGS[name].settings, path)
    assert read == workshop.settings(name, tmp_path / "run")
    assert (read.clips, read.steps, read.strides) == ((workshop.clips,), 4, (1, 2))
    with pytest.raises(ValueError, match="frozen"):
        read.steps = 5


def test_paths_are_seen_from_the_settings_folder(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "start.safetensors").touch()
    (tmp_path / "clips.jsonl").touch()
    changes = {"clips": "clips.jsonl", "start": "~/start.safetensors", "output": "../out", "cache": "~/cache"}
    (tmp_path / "recipe").mkdir()
    path = tmp_path / "recipe" / "rectify.json"
    path.write_text(json.dumps(workshop.entries("rectify", tmp_path) | changes | {"clips": "../clips.jsonl"}))
    read = read_settings(RectifySettings, path)
    assert read.clips[0].samefile(tmp_path / "clips.jsonl")
    assert read.start == tmp_path / "home" / "start.safetensors"
    assert read.output.resolve() == tmp_path / "out"
    assert read.cache == tmp_path / "home" / "cache"


def test_clips_in_several_files(workshop: Workshop, tmp_path: Path) -> None:
    """A folder stands for its files, in the order of their numbers."""
    parts, more = [tmp_path / "parts" / f"{n}.jsonl" for n in (1, 2, 10)], tmp_path / "more.jsonl"
    parts[0].parent.mkdir()
    for file in (*parts, more, parts[0].with_name("notes.txt")):
        file.touch()
    read = workshop.settings("base", tmp_path, clips=[str(parts[0].parent), str(more)])
    assert read.clips == (*parts, more)
    assert workshop.settings("base", tmp_path, clips=str(parts[0].parent)).clips == tuple(parts)
    (tmp_path / "none").mkdir()
    wrong = {"is named twice": [parts[0].parent, parts[1]], "has no .jsonl files": tmp_path / "none", "at least 1": []}
    for message, clips in wrong.items():
        with pytest.raises(ValueError, match=message):
            workshop.settings("base", tmp_path, clips=clips)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("base", {"stesp": 4}, "stesp: Extra inputs are not permitted"),
        ("base", {"steps": None}, "steps: Field required"),
        ("base", {"steps": "many"}, "steps: Input should be a valid integer"),
        ("base", {"steps": 0}, "steps: Input should be greater than or equal to 1"),
        ("base", {"batch": 1.5}, "batch: Input should be a valid integer"),
        ("base", {"steps": True}, "steps: Input should be a valid integer; it is True"),
        ("base", {"steps": "4"}, "steps: Input should be a valid integer; it is '4'"),
        ("base", {"learning_rate": "1e-3"}, "learning_rate: Input should be a valid number; it is '1e-3'"),
        ("base", {"ema": False}, "ema: Input should be a valid number; it is False"),
        ("base", {"strides": [True]}, "strides.0: Input should be a valid integer; it is True"),
        ("base", {"gradient_checkpointing": "true"}, "gradient_checkpointing: Input should be a valid boolean"),
        ("base", {"learning_rate": 0}, "learning_rate: Input should be greater than 0"),
        ("base", {"ema": 1}, "ema: Input should be less than 1"),
        ("base", {"seed": -1}, "seed: "),
        ("base", {"learning_rate": 1e300}, "learning_rate: Input should be less than or equal to 1; it is 1e+300"),
        ("base", {"learning_rate": float("nan")}, "learning_rate: Input should be"),
        ("base", {"timestep_shift": float("inf")}, "timestep_shift: Input should be"),
        ("base", {"width": 8 * 10**9}, "width: Input should be less than or equal to 16384; it is 8000000000"),
        ("base", {"steps": 10**12}, "steps: Input should be less than or equal to 1000000000"),
        ("base", {"batch": 10**30}, "batch: Input should be less than or equal to 1000000000"),
        ("base", {"seed": 2**32}, "seed: Input should be less than 4294967296; it is 4294967296"),
        ("base", {"workers": 10**5}, "workers: Input should be less than or equal to 1000"),
        ("base", {"clips": "a" * 10**5}, "..."),
        ("autoencoder", {"perceptual_weight": 1e300}, "perceptual_weight: "),
        ("decoder", {"latent_noise": 1e300}, "latent_noise: "),
        ("decoder", {"discriminator_channels": 10**9}, "discriminator_channels: "),
        ("sketch", {"hint_widths": [10**9] * 7}, "hint_widths.0: "),
        ("distil", {"guidance_scale": 1e300}, "guidance_scale: "),
        ("base", {"strides": []}, "strides: Tuple should have at least 1 item"),
        ("base", {"strides": [1, 0]}, "strides.1: "),
        (
            "base",
            {"domains": ["films"]},
            "domains.0: Input should be 'film', 'toon', 'drawn', 'curved', 'figures' or 'lines'",
        ),
        ("base", {"domains": []}, "domains: Tuple should have at least 1 item"),
        ("joint", {"guided_domains": []}, "guided_domains: Tuple should have at least 1 item"),
        ("base", {"precision": "fp16"}, "precision: Input should be 'no' or 'bf16'"),
        ("base", {"clips": "absent.jsonl"}, "absent.jsonl; correct the path"),
        ("base", {"start": "absent.ckpt"}, "absent.ckpt; correct the path"),
        ("base", {"clips": ""}, "clips.0: Value error, it is empty; expected a path, or ."),
        ("base", {"output": ""}, "output: Value error, it is empty; expected a path, or ."),
        ("base", {"start": ""}, "start: Value error, it is empty; expected a path, or ."),
        ("base", {"start": "~nobody-of-that-name/a"}, "~nobody-of-that-name/a; correct the path"),
        ("base", {"output": "settings.json"}, "settings.json is a file; expected a folder"),
        ("base", {"width": 36}, "width is 36; expected a multiple of 8"),
        ("base", {"height": 100}, "height is 100; expected a multiple of 8"),
        ("base", {"warm_up": 3, "cool_down": 2}, "warm_up (3) and cool_down (2) take more than all 4 steps"),
        ("base", {"frames": 2}, "frames: Input should be greater than or equal to 3"),
        ("base", {"drop_text": 0.5, "drop_both": 0.5}, "add up to more than 1"),
        ("base", {"sharded": True, "optimiser": "muon"}, "sharded is true; that is for base,"),
        ("decoder", {"sharded": True}, "sharded is true; that is for base,"),
        ("base", {"variant": "IV"}, "variant: Extra inputs are not permitted"),
        ("rectify", {"variant": "VI"}, "variant: Input should be 'I', 'II', 'III', 'IV' or 'V'"),
        ("decoder", {"perceptual": []}, "perceptual: Tuple should have at least 1 item"),
        ("decoder", {"perceptual": ["absent.pth"]}, "perceptual.0: "),
        (
            "decoder",
            {"width": 24},
            "24 x 32 are too small for the perceptual distance; expected sides of 32",
        ),
        ("autoencoder", {"height": 24}, "pictures of 32 x 24 are too small"),
        ("sketch", {"hint_widths": [4] * 6}, "hint_widths.6: Field required"),
        ("sketch", {"lines": "absent.pth"}, "lines: "),
    ],
    ids=str,
)
def test_wrong_entries_are_named(name: str, changes: dict[str, Any], message: str, refusal: Refusal) -> None:
    assert message in refusal(name, **changes)


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("unet", {"depth": 3}, "model.unet.depth: Unexpected keyword argument"),
        ("unet", {"model_channels": 40}, "model.unet: Value error, UNetConfig: model_channels is 40"),
        ("unet", {"out_channels": 5}, "unet.out_channels is 5; expected 4, for autoencoder.latent_channels is 4"),
        ("unet", {"in_channels": 4}, "unet.in_channels is 4; expected 8, for autoencoder.latent_channels is 4"),
        ("projector", {"output_dim": 32}, "projector.output_dim is 32; expected 16, for unet.context_dim is 16"),
        ("projector", {"input_dim": 16}, "projector.input_dim is 16; expected 32, for vision.width is 32"),
        ("text", {"width": 32}, "text.width is 32; expected 16, for unet.context_dim is 16"),
        ("unet", {"model_channels": 10**30}, "model.unet: Value error, UNetConfig.model_channels is "),
        ("projector", {"depth": 10**9}, "ProjectorConfig.depth is 1000000000; expected integers >= 1, and <= 1000"),
        ("text", {"vocabulary": 10}, "text.vocabulary is 10; expected 49408, the tokenizer's"),
        ("text", {"context_length": 5}, "text.context_length is 5; expected 77, the tokenizer's"),
        ("text", {"layers": True}, "model.text.layers: Input should be a valid integer; it is True"),
        ("unet", {"channel_mult": ["1", 1]}, "model.unet.channel_mult.0: Input should be a valid integer; it is '1'"),
        ("unet", {"attention_levels": [1, True]}, "attention_levels.0: Input should be a valid boolean; it is 1"),
        ("vision", {"patch_size": 0}, "model.vision: Value error, VisionConfig.patch_size is 0"),
    ],
    ids=str,
)
def test_wrong_sizes_of_a_new_model_are_named(
    part: str, changes: dict[str, Any], message: str, workshop: Workshop, refusal: Refusal
) -> None:
    model = workshop.entries("autoencoder", Path())["model"]
    assert message in refusal("autoencoder", model=model | {part: model[part] | changes})


def test_every_wrong_entry_is_told_at_once(refusal: Refusal) -> None:
    message = refusal("base", steps=0, batch=0, clips="absent.jsonl")
    assert [line.split(":")[0].strip() for line in message.splitlines()[1:]] == ["clips", "steps", "batch"]


@pytest.mark.parametrize("domains", [["films"], ["films", "toon"]], ids=str)
def test_an_unknown_domain_is_told_in_one_line(domains: list[str], refusal: Refusal) -> None:
    """And not that no domain is left."""
    assert [line.split(":")[0].strip() for line in refusal("base", domains=domains).splitlines()[1:]] == ["domains.0"]


def test_an_entry_that_is_there_twice(tmp_path: Path) -> None:
    """JSON readers take the last."""
    path = tmp_path / "settings.json"
    path.write_text('{"steps": 4, "steps": 5}')
    with pytest.raises(SettingsError, match=r"settings\.json cannot be used: 'steps' is there twice; expected it once"):
        read_settings(RectifySettings, path)


@pytest.mark.parametrize("recipe", sorted(RECIPES.rglob("*.json")), ids=lambda path: str(path.relative_to(RECIPES)))
def test_shipped_recipes_are_read(recipe: Path, tmp_path: Path) -> None:
    """As they are, but for the files that they name, which are elsewhere."""
    (tmp_path / "file").touch()
    entries = json.loads(recipe.read_text())
    entries |= {key: str(tmp_path / "file") for key in ("clips", "start", "begin") if key in entries}
    entries |= {"perceptual": [str(tmp_path / "file")]} if "perceptual" in entries else {}
    kinds = [training.settings for training in TRAININGS.values()]
    (tmp_path / "settings.json").write_text(json.dumps(entries))
    kind = next(k for k in kinds if k.model_fields.keys() >= entries.keys())
    assert read_settings(kind, tmp_path / "settings.json").steps == entries["steps"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"steps": 4,}', "is not JSON: .*line 1"),
        (
            '{"steps": 4,\n"output": "\\ud800"}',
            r"settings\.json is not JSON: .* at line 2 column 1\d; expected an object",
        ),
        ('{"steps": ' + "[" * 300 + "]" * 300 + "}", r"settings\.json is not JSON: .* at line 1 column"),
        ("[1]", r"settings\.json cannot be used:\n  the settings: .*should be an object"),
        ("\ufeff[1]", "should be an object"),
        ("", "is not JSON"),
    ],
)
def test_files_that_are_no_settings(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match=message):
        read_settings(RectifySettings, path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.json; give one with --config"):
        read_settings(RectifySettings, tmp_path / "absent.json")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe{", b"[" * 10**5, b'{"steps": ' + b"9" * 5000 + b"}"])
def test_what_is_no_json_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_bytes(content)
    with pytest.raises(SettingsError, match=r"settings\.json is not JSON: .*; expected an object of settings"):
        read_settings(RectifySettings, tmp_path / "settings.json")


def test_fewest_frames_are_fewer(refusal: Refusal) -> None:
    assert "fewest_frames is 4 and frames 4; expected fewer, or none" in refusal("joint", fewest_frames=4)
    assert "fewest_frames" in refusal("base", fewest_frames=2)
