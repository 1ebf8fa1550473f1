"""Freezes the golden set: computes all outputs of the rule's weights and inputs, and writes vectors.safetensors.

`python tests/golden/freeze.py` only compares with the file that is there, and refuses to write over it. A set is worth
what the implementation was worth on the day it was frozen: run the parity tests on the published vectors first, and
only write (`--overwrite`) when the set itself changes, never to make a test pass.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

sys.path.extend(str(Path(__file__).resolve().parents[2] / folder) for folder in (".", "scripts", "tests"))

import random_checkpoint
from comparison import like, relative_error, thinned
from golden import outputs, runs, schedule, sets
from golden.inputs import inputs
from golden.sets import FILES, FROZEN, GoldenSet, Sizes

from tooncrafter_core.models.config import ModelConfig

WANTED = (
    *(f"schedule.ddim_timesteps.trailing.{steps}" for steps in (1, 5, 7, 10, 50)),
    *(f"schedule.ddim_sigmas.{steps}.eta{eta}" for steps in (5, 50) for eta in (0, 1)),
    "vision.embedding_of_zeros_224",
    "unet.out.t19.fs10",
    "unet.out.t500.fs24",
    "unet.out.t999.fs10",
    "unet.out_batch2.t500.fs10_24",
    "unet.out_t8frames",
    "unet.out_sketch.t500.fs10.scale06",
    "ddim.eta0.cfg1",
    "ddim.eta1.cfg7.5.rescale0.7",
    "ddim.eta1.cfg7.5.rescale0.7.x_inter",
    "ddim.sketch06.eta1.cfg7.5.rescale0.7",
    "ddim.sketch06.eta1.cfg7.5.rescale0.7.x_inter",
    "frames.eta1",
)
"""The outputs whose names say how they are made; the others are the modules' own."""

LARGEST, KEPT = 8192, 4093
"""Outputs of more values than the first are kept at so many places, a prime, so that they fall into every column."""


def named_shapes(sizes: Sizes) -> dict[str, dict[str, list[int]]]:
    """Name and shape of every tensor of the two files at these sizes, without the schedule's tables."""
    unet, vae = sizes["unet"], sizes["vae"]
    widths = {"model_channels": unet["model_channels"], "channel_mult": tuple(unet["channel_mult"])}
    image_widths = {"channels": vae["ch"], "channel_mult": tuple(vae["ch_mult"])}
    model, sketch = random_checkpoint.MODEL, random_checkpoint.SKETCH.sketch
    assert model.unet is not None and model.autoencoder is not None and sketch is not None
    configs = (
        replace(model, unet=replace(model.unet, **widths), autoencoder=replace(model.autoencoder, **image_widths)),
        ModelConfig(sketch=replace(sketch, **widths)),
    )
    return {
        file: {
            name: list(tensor.shape) for name, tensor in random_checkpoint.random_tensors(config).items() if "." in name
        }
        for file, config in zip(FILES, configs, strict=True)
    }


@torch.no_grad()
def computed() -> dict[str, Tensor]:
    """Every output of the set, one module after the other, each from the stored outputs of those before."""
    golden = GoldenSet(sets.read_sizes(FROZEN), *sets.checkpoints_by_rule(), {})
    models, made = golden.models(), {}
    made |= schedule.tables() | schedule.trailing_timesteps(WANTED) | schedule.sigmas(WANTED)
    made |= outputs.tokens()
    made |= outputs.text(models, made)
    made |= outputs.vision(models, inputs(), WANTED)
    made |= outputs.projector(models, made)
    made |= outputs.encoder(models, inputs())
    made |= outputs.decoder(models, inputs())
    vectors = inputs() | made | sets.derived_inputs(made)
    for module in (outputs.unet, outputs.unet_batch, outputs.unet_of_another_length, outputs.unet_with_sketches):
        made |= module(models, vectors, WANTED)
    made |= outputs.sketch_encoder(models, vectors)
    done = runs.sampled(models, vectors, WANTED)
    made |= {name: latents for name, (_, latents) in done.items()}
    return made | runs.steps_of(done, WANTED) | runs.frames_of(done, models, vectors, WANTED)


def stored_form(name: str, values: Tensor) -> Tensor:
    """What is kept of an output: all of it, or evenly spread values of a large one; of a run every step."""
    per_step = name.endswith((".x_inter", ".pred_x0"))
    if values.numel() <= LARGEST or per_step:
        return values.contiguous()
    return thinned(values, KEPT)


def report(vectors: dict[str, Tensor], before: dict[str, Tensor]) -> list[str]:
    """The relative difference of every output from what is stored now."""
    lines = []
    for name in sorted(vectors.keys() | before.keys()):
        if name not in vectors or name not in before:
            lines.append(f"{name}: only in the {'new' if name in vectors else 'stored'} set")
        else:
            lines.append(f"{name}: {relative_error(like(before[name], vectors[name]), before[name]):.1e}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--overwrite", action="store_true", help="write over the stored set")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    file, names = FROZEN / "vectors.safetensors", FROZEN / "tensors.json"
    before = load_file(file) if file.exists() else {}
    if arguments.overwrite or not before:
        shapes = named_shapes(sets.read_sizes(FROZEN))
        lines = [f'"{name}": {{\n{_entries(tensors)}\n}}' for name, tensors in shapes.items()]
        names.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    vectors = {name: stored_form(name, values) for name, values in computed().items()}
    for line in report(vectors, before):
        sys.stdout.write(line + "\n")
    if before and not arguments.overwrite:
        sys.stdout.write(f"{file} is there and stays as it is; --overwrite would replace it\n")
        return 1
    save_file(vectors, file)
    return 0


def _entries(tensors: dict[str, list[int]]) -> str:
    """A line for each tensor, so that changes show."""
    return ",\n".join(f"{json.dumps(name)}: {json.dumps(shape)}" for name, shape in tensors.items())


if __name__ == "__main__":
    sys.exit(main())
