"""Checks that no weight hides from the frozen vectors: changes one tensor after the other and looks who notices.

`python tests/golden/mutate.py [PART ...]` multiplies every value of a tensor by 0.9 or 1.1, computes outputs of the
tensor's module, and compares them with the stored ones at the tests' limit. Writes, for each part, how many tensors are
noticed, the smallest error among those, and the name and error of the ones that are not. Half an hour on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.extend(str(Path(__file__).resolve().parents[2] / folder) for folder in (".", "scripts", "tests"))

from comparison import MODULE_LIMIT, like, relative_error
from golden import outputs, sets
from golden.outputs import Outputs, Vectors
from golden.rule import uniform

from tooncrafter_core import ToonCrafter
from tooncrafter_core.models.config import LATENT_SCALE
from tooncrafter_core.models.vae.autoencoder import reference_pairs

Module = Callable[[], Outputs]


def modules(models: ToonCrafter, vectors: Vectors) -> dict[str, tuple[nn.Module, Module]]:
    """For each part the model whose tensors are changed, and what computes the outputs that should notice."""
    assert models.sketch_encoder is not None
    autoencoder = models.autoencoder
    return {
        "text": (models.text, partial(outputs.text, models, vectors)),
        "vision": (models.vision, partial(outputs.vision, models, vectors, vectors)),
        "projector": (models.projector, partial(outputs.projector, models, vectors)),
        "encoder": (autoencoder.encoder, partial(outputs.encoder, models, vectors)),
        "quant_conv": (autoencoder.quant_conv, partial(outputs.encoder, models, vectors)),
        "decoder": (autoencoder.decoder, partial(decoded, models, vectors, references(models, vectors))),
        "unet": (models.unet, partial(outputs.unet, models, vectors, ["unet.out.t500.fs24"])),
        "sketch": (models.sketch_encoder, partial(outputs.sketch_encoder, models, vectors)),
    }


def references(models: ToonCrafter, vectors: Vectors) -> list[Tensor]:
    return reference_pairs(models.autoencoder.encode_keyframes(outputs.keyframes_of(vectors)).features)


def decoded(models: ToonCrafter, vectors: Vectors, pairs: list[Tensor]) -> Outputs:
    latents = vectors["decode.latent"] / LATENT_SCALE
    return {"decode.with_reference": models.autoencoder.decode_segments(latents, pairs)}


@contextmanager
def changed(name: str, tensor: Tensor) -> Iterator[None]:
    """The tensor with every value a tenth larger or smaller."""
    before = tensor.clone()
    tensor.mul_(1 + 0.1 * torch.from_numpy(uniform(f"mutation of {name}", tensor.shape)).sign().float())
    yield
    tensor.copy_(before)


def largest_error(module: Module, vectors: Vectors) -> float:
    made = module()
    return max(relative_error(like(vectors[name], out), vectors[name]) for name, out in made.items())


def errors(part: str, model: nn.Module, module: Module, vectors: Vectors) -> dict[str, float]:
    """By tensor: the largest relative error among the outputs when that tensor is changed."""
    found = {}
    for name, tensor in model.state_dict().items():
        with changed(f"{part}.{name}", tensor):
            found[name] = largest_error(module, vectors)
    return found


def row(part: str, found: dict[str, float]) -> list[str]:
    """Of the table: part, tensors, how many were noticed, the smallest error among them; then who was not."""
    noticed = {name: error for name, error in found.items() if error > MODULE_LIMIT}
    lines = [f"| {part} | {len(found)} | {len(noticed)} | {min(noticed.values()):.1e} |"]
    return lines + [f"  {name}: {error:.1e}" for name, error in found.items() if name not in noticed]


@torch.no_grad()
def main(parts: list[str]) -> None:
    torch.set_num_threads(1)
    golden = sets.frozen()
    known = modules(golden.models(), golden.vectors)
    if unknown := set(parts) - known.keys():
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for part in parts or known:
        for line in row(part, errors(part, *known[part], golden.vectors)):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
