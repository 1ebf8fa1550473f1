"""A new model that begins with the weights of a trained one, which may have fewer latent channels."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import product

import torch
from torch import Tensor, nn

from ...files.checkpoint import Checkpoint
from ...files.stored_tensor import listing
from ...models.clip.text_tower import TextTower
from ...models.config import LATENT_SCALE
from ...models.vae.autoencoder import Autoencoder

_FIRST_LOG_VARIANCE = -6.0
"""Of the latents that are new: with a variance of 1, noise would drown them."""


@torch.no_grad()
def start_from(models: Mapping[str, nn.Module], trained: Checkpoint) -> None:
    """Take over every tensor that the models have too, the 3D decoder's image layers among them. A part that the file
    lacks stays as it was drawn.

    Of tensors whose sizes differ by the number of latent channels, what reads new channels begins at zero, so that the
    trained function stays; what makes new channels stays as it was drawn.

    Raises:
        ValueError: a tensor differs in another way, or a part lacks one.
    """
    autoencoder = models["autoencoder"]
    if not isinstance(autoencoder, Autoencoder) or trained.config.autoencoder is None:
        raise ValueError(f"{trained.path} has no autoencoder to start from; name a complete checkpoint")
    latents = trained.config.autoencoder.latent_channels, autoencoder.config.latent_channels
    for part, model in models.items():
        if part not in trained.parts:
            continue
        wanted = _of_the_file(model)
        found = {name: tensor for name, tensor in trained.part(part).items() if name in wanted}
        try:
            take_over(model, wanted, found, latents)
        except ValueError as error:
            raise ValueError(f"{trained.path} cannot be started from: {error}. Look at model.{part}") from error
    _begin_with_unit_latents(autoencoder, trained, latents[0])


def _of_the_file(model: nn.Module) -> list[str]:
    """Names of a new model's tensors that a file's take the place of; `post_quant_conv` begins anew, and the text
    tower's last block is not run."""
    anew = ["post_quant_conv."]
    if isinstance(model, TextTower):
        anew.append(f"transformer.resblocks.{len(model.transformer.resblocks) - 1}.")
    return [name for name in model.state_dict() if not name.startswith(tuple(anew))]


@torch.no_grad()
def take_over(model: nn.Module, wanted: Collection[str], found: Mapping[str, Tensor], latents: tuple[int, int]) -> None:
    """Copy a file's tensors into a model.

    Args:
        model: what they go to.
        wanted: names of the model's tensors that are to be taken over.
        found: the file's tensors of that kind, under the model's names.
        latents: channels of a latent there and in the model.

    Raises:
        ValueError: one is missing or left over, or its sizes differ by more than the latent channels.
    """
    differing = {
        "missing in the file": [name for name in wanted if name not in found],
        "in the file only": [name for name in found if name not in wanted],
    }
    if told := [listing(what, names) for what, names in differing.items() if names]:
        raise ValueError(f"{'; '.join(told)}; expected the layers that the model has here")
    own = model.state_dict()
    for name in wanted:
        _place(found[name].to(own[name]), own[name], latents, name)


def _place(old: Tensor, new: Tensor, latents: tuple[int, int], name: str) -> None:
    """Copy a tensor into one of at least its size; channels come in blocks, each of one latent's channels."""
    places = [_places(a, b, latents) for a, b in zip(old.shape, new.shape, strict=True)]
    if None in places:
        raise ValueError(
            f"{name} is {tuple(old.shape)} in the file and {tuple(new.shape)} here; expected the same sizes, but for "
            f"the latent channels ({latents[0]} and {latents[1]})"
        )
    flat = [torch.tensor(place) for place in places]
    new[flat[0]] = 0
    new[torch.meshgrid(*flat, indexing="ij")] = old


def _places(old: int, new: int, latents: tuple[int, int]) -> list[int] | None:
    """Where the old channels of one dimension go; None where that is not clear."""
    if old == new:
        return list(range(old))
    blocks = old // latents[0]
    if (old, new) != (blocks * latents[0], blocks * latents[1]) or latents[0] > latents[1]:
        return None
    return [block * latents[1] + channel for block, channel in product(range(blocks), range(latents[0]))]


def _begin_with_unit_latents(autoencoder: Autoencoder, trained: Checkpoint, latents: int) -> None:
    """Published latents have a deviation of 1 only times `LATENT_SCALE`; the KL term wants them so as they are."""
    channels = autoencoder.config.latent_channels
    weight, bias = (autoencoder.quant_conv.get_parameter(name) for name in ("weight", "bias"))
    weight[latents:channels] = torch.eye(2 * channels)[latents:channels, :, None, None]
    weight[:latents] *= LATENT_SCALE
    bias[:latents] *= LATENT_SCALE
    bias[channels : channels + latents] += 2 * torch.tensor(LATENT_SCALE).log()
    weight[channels + latents :] = 0
    bias[channels + latents :] = _FIRST_LOG_VARIANCE
    _begin_decoding(autoencoder, trained, latents)


def _begin_decoding(autoencoder: Autoencoder, trained: Checkpoint, latents: int) -> None:
    """Give the decoder the latents it knows; a file with the 3D decoder has `post_quant_conv` in its first layer."""
    weight, bias = (autoencoder.post_quant_conv.get_parameter(name) for name in ("weight", "bias"))
    weight.copy_(torch.eye(len(weight))[:, :, None, None])
    bias.zero_()
    if trained.config.autoencoder is not None and not trained.config.autoencoder.dual_reference:
        found = trained.part("autoencoder")
        weight[:latents, :latents] = found["post_quant_conv.weight"].to(weight)
        bias[:latents] = found["post_quant_conv.bias"].to(bias)
    weight[:, :latents] /= LATENT_SCALE
