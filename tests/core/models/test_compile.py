"""U-Net and decoder are each one graph to `torch.compile`, in the way docs/command_line.md says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from comparison import full, relative_error
from random_checkpoint import MODEL

from tooncrafter_core.models.layers import Layers
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.unet import UNet
from tooncrafter_core.models.vae.decoder import Decoder

FRAMES = 2
UNET = replace(MODEL.unet, channel_mult=(1, 2), res_blocks=1, attention_levels=(True, False))
AUTOENCODER = replace(MODEL.autoencoder, channel_mult=(1, 1, 1, 2), res_blocks=1)
"""Every kind of block there is, few times: most of the time goes into tracing."""


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch.compiler.reset()


def test_the_unet_has_no_graph_break() -> None:
    """In the first pass, which makes the context's keys and values, and in the next one, which finds them."""
    model, x = UNet(UNET).eval(), torch.randn(1, 8, FRAMES, 2, 2)
    context = CrossContext(torch.randn(1, 7, 32), torch.randn(1, FRAMES, 4, 32))
    expected = model(x, full(x, 500), full(x, 10), CrossContext(context.text, context.image))
    model.compile(backend="eager", fullgraph=True)
    for _ in range(2):
        assert relative_error(model(x, full(x, 500), full(x, 10), context), expected) < 1e-5


def test_the_decoder_has_no_graph_break() -> None:
    model, latents = Decoder(AUTOENCODER, Layers()).eval(), torch.randn(1, 4, FRAMES, 2, 2)
    sizes = (32, 16), (32, 8), (32, 4), (64, 2), (32, 16)
    references = [torch.randn(1, 2, channels, side, side) for channels, side in sizes]
    expected = model(latents, references)
    model.compile(backend="eager", fullgraph=True)
    assert relative_error(model(latents, references), expected) < 1e-5
