"""U-Net and decoder are each one graph to `torch.compile`, in the way docs/command_line.md says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from comparison import full, relative_error
from random_checkpoint import MODEL
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from tooncrafter_core.models.layers import Layers
from tooncrafter_core.models.layout import contiguous
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.projector import resample_frames
from tooncrafter_core.models.unet.unet import UNet
from tooncrafter_core.models.vae.chunking import silent
from tooncrafter_core.models.vae.decoder import Decoder

UNET = replace(MODEL.unet, channel_mult=(1, 2), res_blocks=1, attention_levels=(True, False))
AUTOENCODER = replace(MODEL.autoencoder, channel_mult=(1, 1, 1, 2), res_blocks=1)
"""Every kind of block there is, few times: most of the time goes into tracing."""


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch.compiler.reset()


def test_the_unet_is_one_graph_for_all_sizes() -> None:
    """Without a break, for other numbers of frames and pixels too, and for all steps with one context."""
    model, graphs = UNet(UNET).eval(), CompileCounter()
    model.compile(backend=graphs, fullgraph=True, dynamic=True)
    for frames, height, width in ((5, 4, 6), (3, 10, 4)):
        x = torch.randn(1, 8, frames, height, width)
        context = CrossContext(torch.randn(1, 7, 32), resample_frames(torch.randn(1, 5, 9, 32), frames))
        expected = model.forward(x, full(x, 500), full(x, 10), CrossContext(context.text, context.image))
        for _ in range(2):
            assert relative_error(model(x, full(x, 500), full(x, 10), context), expected) < 1e-5
    assert graphs.frame_count == 1


def test_the_decoder_is_one_graph_for_all_sizes() -> None:
    """Whoever is told how far it is."""
    model, graphs, told = Decoder(AUTOENCODER, Layers()).eval(), CompileCounter(), [0.0]
    model.compile(backend=graphs, fullgraph=True, dynamic=True)
    for frames, height, width in ((5, 3, 7), (4, 5, 2)):
        latents = torch.randn(1, 4, frames, height, width)
        maps = (32, 8), (32, 4), (32, 2), (64, 1), (32, 8)
        references = [torch.randn(1, 2, channels, height * side, width * side) for channels, side in maps]
        for report in (silent, told.append):
            found = model(latents, references, report=report)
            assert relative_error(found, model.forward(latents, references)) < 1e-5
    assert graphs.frame_count == 1


@torch.no_grad()
def test_a_layout_that_is_asked_for_is_kept() -> None:
    """Where writes in place become operations with results of their own, as before code is generated."""

    def normalised(x: Tensor, y: Tensor) -> Tensor:
        return F.group_norm(contiguous(torch.add, x.transpose(1, 2), y.transpose(1, 2)), 2)

    x, y = torch.randn(1, 3, 4, 2, 5), torch.randn(1, 3, 4, 2, 5)
    found = torch.compile(normalised, backend="aot_eager")(x, y)
    torch.testing.assert_close(found, normalised(x, y))
