"""Files that are not checkpoints we can use are refused, with a message that says why."""

from __future__ import annotations

import gc
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tooncrafter_core import CheckpointError, ToonCrafter, read_checkpoint
from tooncrafter_core.files.infer import infer_config

Tensors = dict[str, Tensor]
SOME = "time_embed.0.weight"


def refusal(content: Any, path: Path) -> str:
    """The message with which a file of this content is refused."""
    torch.save(content, path)
    return refusal_of(path)


def refusal_of(path: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    assert path.name in str(error.value)
    return str(error.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.ckpt"


def test_missing_tensors(sketch_tensors: Tensors, path: Path) -> None:
    gone = [name for name in sketch_tensors if name.startswith("zero_convs.")][:7]
    message = refusal({name: tensor for name, tensor in sketch_tensors.items() if name not in gone}, path)
    assert f"7 missing: {', '.join(gone[:5])}, ..." in message
    assert "unexpected" not in message
    assert "download it again" in message


def test_unexpected_tensors(sketch_tensors: Tensors, path: Path) -> None:
    message = refusal(sketch_tensors | {"adapter.weight": torch.zeros(1)}, path)
    assert "1 unexpected: adapter.weight" in message
    assert "missing" not in message


def test_unexpected_tensors_in_a_part(tiny_tensors: Tensors, path: Path) -> None:
    name = "model.diffusion_model.lora.weight"
    assert f"1 unexpected: {name}" in refusal(tiny_tensors | {name: torch.zeros(1)}, path)


def test_wrong_shape(sketch_tensors: Tensors, path: Path) -> None:
    message = refusal(sketch_tensors | {SOME: torch.zeros(3, 5)}, path)
    expected = tuple(sketch_tensors[SOME].shape)
    assert f"1 of another shape: {SOME} (3, 5) instead of {expected}" in message


def test_a_tensor_that_gives_the_size_is_missing(tiny_tensors: Tensors, path: Path) -> None:
    name = "first_stage_model.encoder.conv_in.weight"
    assert name in refusal({key: tensor for key, tensor in tiny_tensors.items() if key != name}, path)


def test_stable_diffusion(tmp_path: Path) -> None:
    """An image model has a U-Net under the same prefix."""
    tensors = {
        "model.diffusion_model.input_blocks.0.0.weight": torch.zeros(320, 4, 3, 3),
        "model.diffusion_model.out.2.weight": torch.zeros(4, 320, 3, 3),
        "first_stage_model.encoder.conv_in.weight": torch.zeros(128, 3, 3, 3),
    }
    save_file(tensors, tmp_path / "sd.safetensors")
    assert "without layers over frames" in refusal_of(tmp_path / "sd.safetensors")


def test_unrelated_tensors(tmp_path: Path) -> None:
    save_file({"lora_unet.up.weight": torch.zeros(4, 4)}, tmp_path / "lora.safetensors")
    message = refusal_of(tmp_path / "lora.safetensors")
    assert "neither a ToonCrafter checkpoint nor a sketch encoder (1 found: lora_unet.up.weight)" in message
    assert "model.diffusion_model.input_blocks.0.0.weight" in message


@pytest.mark.parametrize("content", [{}, {"state_dict": {}}, {"state_dict": None, "epoch": 1}])
def test_no_tensors(content: Any, path: Path) -> None:
    assert "neither a ToonCrafter checkpoint nor a sketch encoder" in refusal(content, path)


@pytest.mark.parametrize(("content", "kind"), [([torch.zeros(1)], "list"), (torch.zeros(1), "Tensor")])
def test_not_a_dictionary(content: Any, kind: str, path: Path) -> None:
    assert f"holds a {kind}" in refusal(content, path)


TRUNCATED = [(name, part) for name in ("zip.ckpt", "legacy.ckpt", "s.safetensors") for part in (0.01, 0.5, 0.999)]


@pytest.mark.parametrize(("name", "part"), [*TRUNCATED, ("zip.ckpt", 0.001)])
def test_truncated(name: str, part: float, sketch_tensors: Tensors, tmp_path: Path) -> None:
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(sketch_tensors, path)
    else:
        torch.save(sketch_tensors, path, _use_new_zipfile_serialization=name.startswith("zip"))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    refusal_of(path)


@pytest.mark.parametrize("name", ["model.ckpt", "model.safetensors"])
@pytest.mark.parametrize("text", ["", "hello\n", "<!DOCTYPE html><html></html>", "version https://git-lfs.github.com"])
def test_text(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    refusal_of(tmp_path / name)


class Payload:
    """What a malicious file holds: reading it creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_code_is_refused_and_not_run(zipped: bool, sketch_tensors: Tensors, tmp_path: Path) -> None:
    path, marker = tmp_path / "evil.ckpt", tmp_path / "marker"
    torch.save({**sketch_tensors, "payload": Payload(marker)}, path, _use_new_zipfile_serialization=zipped)
    message = refusal_of(path)
    assert not marker.exists()
    assert "refused" in message
    torch.load(path, weights_only=False)
    assert marker.exists(), "the file is harmless, so this test shows nothing"


@pytest.mark.parametrize("name", ["nothing.ckpt", "nothing.safetensors", "."])
def test_no_such_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / name))):
        read_checkpoint(tmp_path / name)


def test_a_complete_sketch_encoder_is_not_a_model(tiny_files: tuple[Path, Path]) -> None:
    with pytest.raises(CheckpointError, match=r"sketch_encoder\.ckpt has sketch; an interpolation needs unet"):
        ToonCrafter.load(tiny_files[1])
    with pytest.raises(CheckpointError, match=r"model\.ckpt has no sketch"):
        ToonCrafter.load(tiny_files[0], tiny_files[0])


def test_keys_that_are_numbers(path: Path) -> None:
    """An optimiser's state, for example."""
    refusal({0: torch.zeros(2)}, path)


@pytest.mark.parametrize("content", [b"a\n", b"h", b"}u.", b"J\x01", b"q\x01"])
def test_bytes_that_the_unpickler_chokes_on(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    refusal_of(path)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("model.diffusion_model.input_blocks.0.0.weight", ()),
        ("model.diffusion_model.input_blocks.0.0.weight", (0, 8, 3, 3)),
        ("model.diffusion_model.out.2.weight", ()),
        ("image_proj_model.layers.0.0.to_q.weight", ()),
        ("embedder.model.visual.positional_embedding", (0, 64)),
    ],
)
def test_impossible_sizes(name: str, shape: tuple[int, ...], tiny_tensors: Tensors) -> None:
    with pytest.raises(ValueError):
        infer_config(tiny_tensors | {name: torch.zeros(shape)})


def test_no_bad_advice(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html></html>")
    message = refusal_of(path)
    assert "weights_only" not in message


def test_the_file_is_closed(sketch_tensors: Tensors, path: Path) -> None:
    torch.save(sketch_tensors, path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_checkpoint(path)
        gc.collect()
    assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == []
