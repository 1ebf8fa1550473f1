"""Every published layout of the files is read, and every weight of the models comes from the file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from random_checkpoint import MODEL, random_tensors
from safetensors.torch import save_file
from torch import Tensor

from tooncrafter_core import CheckpointError, ToonCrafter, read_checkpoint
from tooncrafter_core.files.checkpoint import PREFIXES, to_core_name
from tooncrafter_core.models.vae.autoencoder import Autoencoder

Tensors = dict[str, Tensor]
COMPLETE = ["unet", "autoencoder", "projector", "text", "vision"]
PLAIN = replace(MODEL, autoencoder=replace(MODEL.autoencoder, dual_reference=False, reference_head_channels=64))


def old_names(tensors: Tensors) -> Tensors:
    """As older files have them."""
    renamed = {name.replace("fps_embedding", "framestride_embed"): tensor for name, tensor in tensors.items()}
    assert renamed.keys() != tensors.keys()
    return renamed


LAYOUTS: dict[str, Callable[[Tensors], Any]] = {
    "bare": dict,
    "wrapped": lambda tensors: {"state_dict": tensors},
    "wrapped with more": lambda tensors: {"epoch": 3, "global_step": 70, "state_dict": tensors, "hooks": {}},
    "deepspeed": lambda tensors: {"module": {f"_forward_module.{name}": t for name, t in tensors.items()}, "lr": 0.1},
    "old names": old_names,
}


def save_legacy(content: Any, path: Path) -> None:
    """PyTorch's format before version 1.6."""
    torch.save(content, path, _use_new_zipfile_serialization=False)


def assert_same(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    assert [name for name, tensor in expected.items() if not torch.equal(found[name], tensor)] == []
    assert [name for name, tensor in expected.items() if found[name].dtype != tensor.dtype] == []


def test_a_large_graph_in_the_metadata(tiny_tensors: Tensors, tmp_path: Path) -> None:
    """As ComfyUI's nodes save it beside the weights."""
    graph = json.dumps({"nodes": [{"inputs": {"dtype": "default"}}] * 20_000})
    save_file(tiny_tensors, tmp_path / "model.safetensors", {"workflow": graph})
    assert_same(dict(read_checkpoint(tmp_path / "model.safetensors").tensors), tiny_tensors)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_layouts_of_the_complete_file(layout: Callable[[Tensors], Any], tiny_tensors: Tensors, tmp_path: Path) -> None:
    torch.save(layout(tiny_tensors), tmp_path / "model.ckpt")
    checkpoint = read_checkpoint(tmp_path / "model.ckpt")
    assert checkpoint.parts == COMPLETE
    assert checkpoint.missing_parts == []
    assert_same(dict(checkpoint.tensors), tiny_tensors)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        *(("s.ckpt", torch.save), ("s.pth", torch.save), ("s.ckpt", save_legacy), ("s.safetensors", save_file)),
        *(("s.safetensors", torch.save), ("s.safetensors", save_legacy), ("s.ckpt", save_file)),
    ],
    ids=["ckpt", "pth", "legacy", "safetensors", "misnamed ckpt", "misnamed legacy", "misnamed safetensors"],
)
def test_formats_of_the_sketch_encoder(
    name: str, save: Callable[[Any, Path], None], sketch_tensors: Tensors, tmp_path: Path
) -> None:
    save(sketch_tensors, tmp_path / name)
    checkpoint = read_checkpoint(tmp_path / name)
    assert checkpoint.parts == ["sketch"]
    assert checkpoint.missing_parts == []
    assert_same(dict(checkpoint.tensors), sketch_tensors)


def test_pruned_file(tiny_tensors: Tensors, tmp_path: Path) -> None:
    """As Kijai/DynamiCrafter_pruned has it: safetensors without both towers."""
    kept = {n: t for n, t in tiny_tensors.items() if not n.startswith(("cond_stage_model.", "embedder."))}
    save_file(kept, tmp_path / "pruned.safetensors")
    checkpoint = read_checkpoint(tmp_path / "pruned.safetensors")
    assert checkpoint.parts == ["unet", "autoencoder", "projector"]
    assert checkpoint.missing_parts == ["text", "vision"]
    with pytest.raises(CheckpointError, match=r"no text \(it has: unet, autoencoder, projector\)"):
        checkpoint.load("text")
    with pytest.raises(CheckpointError, match=r"needs unet, autoencoder, projector, text and vision"):
        ToonCrafter.load(tmp_path / "pruned.safetensors")


def test_plain_decoder(tmp_path: Path) -> None:
    """DynamiCrafter's file: no temporal layers and no references in the decoder, which does without."""
    tensors = random_tensors(PLAIN)
    special = ("mix_factor", "time_stack", "time_mix_conv", "attn_refinement")
    assert not any(word in name for name in tensors for word in special)
    torch.save({"state_dict": tensors}, tmp_path / "dynamicrafter.ckpt")
    checkpoint = read_checkpoint(tmp_path / "dynamicrafter.ckpt")
    assert checkpoint.config == PLAIN
    autoencoder = checkpoint.load("autoencoder").float()
    assert isinstance(autoencoder, Autoencoder)
    latents = torch.randn(1, 4, 3, 2, 2)
    references = [torch.randn(1, 2, 32, 16, 16)] * 5
    frames = autoencoder.decode_segments(latents, references)
    assert frames.shape == (1, 3, 3, 16, 16)
    one = autoencoder.decode_segments(latents[:, :, 1:2])
    assert torch.allclose(frames[:, :, 1:2], one, atol=1e-5), "a plain decoder mixed frames"


@pytest.mark.parametrize("part", [*COMPLETE, "sketch"])
def test_nothing_is_left_random(part: str, tiny_files: tuple[Path, Path]) -> None:
    """Every parameter and buffer of a loaded model is the file's tensor, and every tensor of the file is used."""
    checkpoint = read_checkpoint(tiny_files[part == "sketch"])
    model = checkpoint.load(part)
    prefix, skipped = PREFIXES[part], unused_in(part)
    in_file = {
        to_core_name(name.removeprefix(prefix)): tensor
        for name, tensor in checkpoint.tensors.items()
        if name.startswith(prefix) and not any(word in name for word in skipped)
    }
    assert_same(dict(model.state_dict()), in_file)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.training


def unused_in(part: str) -> list[str]:
    """What a part's tensors have in their names when no computation reads them."""
    last_block = "transformer.resblocks.2."
    return {"text": ["logit_scale", "text_projection", last_block], "vision": ["visual.proj", "ln_post"]}.get(part, [])


def is_mapped(tensor: Tensor, path: Path) -> bool:
    """Whether a tensor's memory is the file itself, by the list of this process's mapped memory."""
    ranges = [line.split()[0] for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(path))]
    return any(int(low, 16) <= tensor.data_ptr() < int(high, 16) for low, _, high in (r.partition("-") for r in ranges))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process's memory map from /proc")
@pytest.mark.parametrize("name", ["sketch.ckpt", "sketch.safetensors"])
def test_files_are_mapped_and_not_read_whole(name: str, sketch_tensors: Tensors, tmp_path: Path) -> None:
    path = (tmp_path / name).resolve()
    (save_file if path.suffix == ".safetensors" else torch.save)(sketch_tensors, path)
    checkpoint = read_checkpoint(path)
    assert all(is_mapped(tensor, path) for tensor in checkpoint.tensors.values())
    assert all(is_mapped(parameter, path) for parameter in checkpoint.load("sketch").parameters())
    assert not is_mapped(checkpoint.load("sketch").float().zero_convs[0][0].weight, path)


def test_report(tiny_files: tuple[Path, Path]) -> None:
    first, *lines = read_checkpoint(tiny_files[0]).report().splitlines()
    assert first.startswith("model.ckpt: ")
    assert [line.split()[0] for line in lines] == COMPLETE
    assert all("float16" in line for line in lines)
