"""Checks that no weight hides from the frozen vectors: which tensors could change without a test failing?

A mutation multiplies every value of one tensor by 0.9 or 1.1. Its effect is estimated from gradients, for all tensors
of a model at once (`estimates`); where that is not clearly above the tests' limit, the mutation is done and the outputs
of the module are compared with the stored ones (`errors`).

`python tests/golden/mutate.py [PART ...]` writes, for each part, how many tensors there are, how many are noticed, the
smallest relative error among those and how many mutations were done, and then who is not noticed, with the reason; ends
with 1 where there is none.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
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

PROBES = 4
"""Backward passes for each output."""

CLEAR = 30 * MODULE_LIMIT
"""An estimate that leaves no doubt; below it the mutation is done."""

UNNOTICED = {
    r"(en|de)coder\.mid\.attn_1\.k\.bias": "adds the same to all scores of a query, which softmax takes away",
    r"unet\.middle_block\.1\.transformer_blocks\.0\.norm2\.bias": "weak: over the limit only if changed by an eighth",
}
"""Tensors whose mutation stays within the limit, as patterns of part and name, and why."""


def reason(part: str, name: str) -> str | None:
    """Why a mutation of this tensor stays within the limit; None where it should not."""
    return next((why for pattern, why in UNNOTICED.items() if re.fullmatch(pattern, f"{part}.{name}")), None)


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


def signs(name: str, values: Tensor) -> Tensor:
    """-1 or 1 for each value, by the rule."""
    return torch.from_numpy(uniform(name, values.shape)).sign().float()


def mutation(name: str, tensor: Tensor) -> Tensor:
    """What is added to a tensor so that every value is a tenth larger or smaller."""
    return 0.1 * tensor * signs(f"mutation of {name}", tensor)


@contextmanager
def changed(name: str, tensor: Tensor) -> Iterator[None]:
    """The tensor with its mutation."""
    before = tensor.clone()
    tensor.add_(mutation(name, tensor))
    yield
    tensor.copy_(before)


def largest_error(module: Module, vectors: Vectors) -> float:
    made = module()
    return max(relative_error(like(vectors[name], out), vectors[name]) for name, out in made.items())


@torch.enable_grad()
def estimates(model: nn.Module, module: Module, vectors: Vectors) -> dict[str, float]:
    """What `errors` would find, to first order, for every tensor: root mean square over the probes.

    The sum of an output's change times random signs has the square of the change's norm as its mean square, and its
    derivatives along all mutations take one backward pass.
    """
    tensors = dict(model.requires_grad_().named_parameters())
    mutations = {name: mutation(name, tensor.detach()) for name, tensor in tensors.items()}
    squares = dict.fromkeys(tensors, 0.0)
    for name, out in module().items():
        if not out.requires_grad:
            continue
        out = like(vectors[name], out)
        total = dict.fromkeys(tensors, 0.0)
        for probe in range(PROBES):
            projected = (out * signs(f"probe {probe} of {name}", out)).sum() / vectors[name].norm()
            gradients = torch.autograd.grad(projected, list(tensors.values()), retain_graph=True, allow_unused=True)
            for tensor, gradient in zip(tensors, gradients, strict=True):
                if gradient is not None:
                    total[tensor] += (gradient * mutations[tensor]).sum().item() ** 2
        squares = {tensor: max(square, total[tensor]) for tensor, square in squares.items()}
    model.requires_grad_(False)
    return {tensor: (square / PROBES) ** 0.5 for tensor, square in squares.items()}


def errors(model: nn.Module, module: Module, vectors: Vectors, names: Iterable[str]) -> dict[str, float]:
    """By tensor: the largest relative error among the outputs when that tensor is changed."""
    tensors, found = model.state_dict(), {}
    for name in names:
        with changed(name, tensors[name]):
            found[name] = largest_error(module, vectors)
    return found


def table_row(part: str, found: Mapping[str, float]) -> str:
    """Part, tensors, how many were noticed, the smallest error among those."""
    noticed = [error for error in found.values() if error > MODULE_LIMIT]
    return f"| {part} | {len(found)} | {len(noticed)} | {min(noticed, default=0):.1e} |"


def unnoticed(part: str, found: Mapping[str, float]) -> dict[str, str | None]:
    """Tensors that may be changed without a test failing, and why."""
    return {name: reason(part, name) for name, error in found.items() if error <= MODULE_LIMIT}


@torch.no_grad()
def main(parts: list[str]) -> int:
    torch.set_num_threads(1)
    golden = sets.frozen()
    known = modules(golden.models(), golden.vectors)
    if unknown := set(parts) - known.keys():
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    unexplained = 0
    for part in parts or known:
        model, module = known[part]
        found = estimates(model, module, golden.vectors)
        unclear = [name for name, error in found.items() if error < CLEAR]
        found |= errors(model, module, golden.vectors, unclear)
        sys.stdout.write(f"{table_row(part, found)} {len(unclear)} |\n")
        for name, why in unnoticed(part, found).items():
            sys.stdout.write(f"  {name} ({found[name]:.1e}): {why or 'NOT EXPLAINED'}\n")
            unexplained += why is None
        sys.stdout.flush()
    return int(unexplained > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
