"""The adversary of the decoder's training: a patch discriminator, its losses, and the weight of its voice.

Normalisation is by group or absent, never by batch: a batch norm's statistics come from one small piece of the batch
when gradients are accumulated or spread over machines, and mix real frames with drawn ones or keep them apart by the
order in which they happen to be fed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_KERNEL = 4
_WIDEST = 8
"""Widths double with depth up to this multiple (Isola et al. 2017, appendix 6.1)."""


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Sizes of the patch discriminator.

    Attributes:
        channels: channels of a frame.
        width: channels after the first convolution.
        layers: convolutions of stride 2. Each output sees a square of 16 (1), 34 (2), 70 (3) or 142 (4) pixels.
        groups: most groups of the group normalisation; 0 for none.

    Raises:
        ValueError: a size that cannot be.
    """

    channels: int = 3
    width: int = 64
    layers: int = 3
    groups: int = 32

    def __post_init__(self) -> None:
        for name, least in (("channels", 1), ("width", 1), ("layers", 1), ("groups", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"DiscriminatorConfig.{name} is {getattr(self, name)}; expected {least} or more")

    @property
    def smallest(self) -> int:
        """Fewest pixels of a side that leave an output: 2 ** layers times 3."""
        return 3 * 2**self.layers


class PatchDiscriminator(nn.Module):
    """Judges every patch of a frame real (high) or drawn (low) (PatchGAN, Isola et al. 2017, section 3.2.2).

    Convolutions of kernel 4: `layers` of stride 2, one of stride 1, one to a single channel; leaky ReLU of slope 0.2;
    no normalisation after the first. Weights start from a normal distribution of deviation 0.02.

    Args:
        config: sizes.
    """

    def __init__(self, config: DiscriminatorConfig | None = None) -> None:
        super().__init__()
        self.config = config or DiscriminatorConfig()
        width = self.config.width
        parts: list[nn.Module] = [
            nn.Conv2d(self.config.channels, width, _KERNEL, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        ]
        for depth in range(1, self.config.layers + 1):
            wider = self.config.width * min(2**depth, _WIDEST)
            stride = 2 if depth < self.config.layers else 1
            parts.append(nn.Conv2d(width, wider, _KERNEL, stride=stride, padding=1))
            if self.config.groups:
                parts.append(nn.GroupNorm(math.gcd(self.config.groups, wider), wider))
            parts.append(nn.LeakyReLU(0.2))
            width = wider
        parts.append(nn.Conv2d(width, 1, _KERNEL, padding=1))
        self.layers = nn.Sequential(*parts)
        for part in self.layers:
            if isinstance(part, nn.Conv2d) and part.bias is not None:
                nn.init.normal_(part.weight, std=0.02)
                nn.init.zeros_(part.bias)

    def forward(self, frames: Tensor) -> Tensor:
        """Judge frames (n, channels, H, W) in [-1, 1].

        Returns:
            (n, 1, H / 2^layers - 2, W / 2^layers - 2), rounded down; unbounded.

        Raises:
            ValueError: the frames' shape does not fit, or they are too small for this depth.
        """
        config = self.config
        if frames.ndim != 4 or frames.shape[1] != config.channels or min(frames.shape[2:]) < config.smallest:
            raise ValueError(
                f"frames {tuple(frames.shape)} came to a discriminator of {config.layers} layers; it takes "
                f"(n, {config.channels}, H, W) with sides of {config.smallest} or more. Use fewer layers for "
                "small frames"
            )
        judged: Tensor = self.layers(frames)
        return judged


def discriminator_loss(real: Tensor, drawn: Tensor) -> Tensor:
    """The hinge loss that the discriminator lowers (Lim and Ye 2017, eq. 25), halved as Esser et al. 2021 do.

    Args:
        real: its outputs for real frames, any shape.
        drawn: its outputs for the decoder's frames, which were detached.

    Returns:
        a scalar; 0 when every real output is above 1 and every drawn one below -1.
    """
    return 0.5 * (F.relu(1.0 - real).mean() + F.relu(1.0 + drawn).mean())


def generator_loss(drawn: Tensor) -> Tensor:
    """The loss that the decoder lowers (Lim and Ye 2017, eq. 26): minus the mean output for its frames."""
    return -drawn.mean()


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last_layer: Tensor, limit: float = 1e4) -> Tensor:
    """The adversarial loss's weight that gives both losses the same pull on the decoder's last layer.

    Esser et al. 2021, eq. 7: |grad reconstruction| / (|grad adversarial| + 1e-6), clamped to [0, limit]. The graph is
    kept for the step itself. Over many machines each has the weight of its own frames.

    Args:
        reconstruction: scalar, L1 with the perceptual distance.
        adversarial: scalar, of `generator_loss`.
        last_layer: the weight of the decoder's last convolution, which needs gradients.
        limit: most that it can be.

    Returns:
        a scalar without gradient.
    """
    (pull,) = torch.autograd.grad(reconstruction, last_layer, retain_graph=True)
    (push,) = torch.autograd.grad(adversarial, last_layer, retain_graph=True)
    weight = pull.float().norm() / (push.float().norm() + 1e-6)
    return weight.clamp(0.0, limit).detach()
