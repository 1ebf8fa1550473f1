"""OpenCLIP text tower: token ids to the text tokens the denoiser attends to (SPEC section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import TextConfig
from ..layers import Layers
from .transformer import TowerTransformer


class TextTower(nn.Module):
    """All text blocks but the last, then the final LayerNorm.

    Args:
        config: sizes; the last of `config.layers` blocks is never run, so it is not made.
        layers: how to make layers.
    """

    def __init__(self, config: TextConfig, layers: Layers | None = None) -> None:
        super().__init__()
        layers = layers or Layers()
        self.config = config
        self.positional_embedding = layers.parameter(config.context_length, config.width)
        self.transformer = TowerTransformer(layers, config, config.layers - 1)
        self.token_embedding = layers.embedding(config.vocabulary, config.width)
        self.ln_final = layers.layer_norm(config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed prompts.

        Args:
            tokens: token ids (b, context_length).

        Returns:
            text tokens (b, context_length, width)

        Raises:
            ValueError: another number of tokens.
        """
        length = self.config.context_length
        if tokens.ndim != 2 or tokens.shape[1] != length:
            raise ValueError(f"text tokens have shape {tuple(tokens.shape)}; expected (b, {length})")
        x = self.token_embedding(tokens)
        x = x + self.positional_embedding.to(x)
        mask = torch.full((length, length), float("-inf"), dtype=x.dtype, device=x.device).triu(1)
        return self.ln_final(self.transformer(x, mask))
