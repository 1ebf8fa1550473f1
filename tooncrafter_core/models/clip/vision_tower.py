"""OpenCLIP vision tower: a keyframe to the tokens the projector reads (SPEC section 3)."""

from __future__ import annotations

import torch
from kornia.geometry.transform import resize
from torch import Tensor, nn

from ..config import VisionConfig
from ..layers import Layers
from .transformer import TowerTransformer

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of CLIP's training images (Radford et al. 2021)."""


def preprocess(images: Tensor, size: int = 224) -> Tensor:
    """Stretch whole pictures to the tower's square and normalise them.

    Args:
        images: (b, 3, H, W) in [-1, 1], at their original size.
        size: side of the square, pixels.

    Returns:
        (b, 3, size, size), float32
    """
    square = resize(images.float(), (size, size), interpolation="bicubic", align_corners=True, antialias=True)
    mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (_MEAN, _STD))
    return ((square + 1) / 2 - mean) / std


class VisionTower(nn.Module):
    """All vision blocks, without the final norm and projection.

    Args:
        config: sizes.
        layers: how to make layers.
    """

    def __init__(self, config: VisionConfig, layers: Layers | None = None) -> None:
        super().__init__()
        layers = layers or Layers()
        self.config = config
        patches = (config.image_size // config.patch_size) ** 2
        self.class_embedding = layers.parameter(config.width)
        self.positional_embedding = layers.parameter(patches + 1, config.width)
        self.conv1 = layers.conv2d(3, config.width, config.patch_size, stride=config.patch_size, bias=False)
        self.ln_pre = layers.layer_norm(config.width)
        self.transformer = TowerTransformer(layers, config, config.layers)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed preprocessed pictures.

        Args:
            pixels: (b, 3, image_size, image_size) from `preprocess`.

        Returns:
            class token and patch tokens (b, 1 + patches, width)

        Raises:
            ValueError: another size.
        """
        size = self.config.image_size
        if tuple(pixels.shape[1:]) != (3, size, size):
            raise ValueError(f"vision input has shape {tuple(pixels.shape)}; expected (b, 3, {size}, {size})")
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        class_token = self.class_embedding.to(patches).expand(len(patches), 1, -1)
        x = torch.cat([class_token, patches], dim=1) + self.positional_embedding.to(patches)
        return self.transformer(self.ln_pre(x))
