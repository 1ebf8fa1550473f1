"""Checks that no weight hides from the frozen vectors: changes one tensor after the other and looks who notices.

`python tests/golden/mutate.py [PART[.NAME] ...]`, of the tensors whose names begin so (all: without arguments),
multiplies every value of one by 0.9 or 1.1, computes outputs of the
tensor's module, and compares them with the stored ones at the tests' limit. Writes, for each part, how many tensors are
noticed, the smallest error among those, and who is not, with the reason; ends with 1 where there is none. A quarter
of an hour on one core.
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

_CONSTANT = "adds a constant to a channel that is a group of the next normalisation by itself (32 channels, 32 groups)"

WITHOUT_EFFECT = {
    r"(en|de)coder\.mid\.attn_1\.k\.bias": "adds the same to all scores of a query, which softmax takes away",
    r"encoder\.down\.0\.block\.\d\.conv1\.bias|decoder\.up\.0\.block\.\d\.conv1\.bias": _CONSTANT,
    r"decoder\.up\.0\.block\.\d\.time_stack\.in_layers\.2\.bias": _CONSTANT,
}
"""Tensors that no output can depend on, as patterns of part and name, and why."""


def reason(part: str, name: str) -> str | None:
    """Why no output can depend on this tensor; None where it must."""
    return next((why for pattern, why in WITHOUT_EFFECT.items() if re.fullmatch(pattern, f"{part}.{name}")), None)


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
def main(arguments: list[str]) -> int:
    torch.set_num_threads(1)
    golden = sets.frozen()
    known = modules(golden.models(), golden.vectors)
    if unknown := {argument.partition(".")[0] for argument in arguments} - known.keys():
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    unexplained = 0
    for argument in arguments or known:
        part, _, start = argument.partition(".")
        names = [name for name in known[part][0].state_dict() if name.startswith(start)]
        found = errors(*known[part], golden.vectors, names)
        sys.stdout.write(table_row(argument, found) + "\n")
        for name, why in unnoticed(part, found).items():
            sys.stdout.write(f"  {name} ({found[name]:.1e}): {why or 'NOT EXPLAINED'}\n")
            unexplained += why is None
        sys.stdout.flush()
    return int(unexplained > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
