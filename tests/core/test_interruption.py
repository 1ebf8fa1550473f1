"""What a host raises between blocks ends the work there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from random_checkpoint import MODEL, SKETCH

from tooncrafter_core.decoding import decode
from tooncrafter_core.frames.colours import match_colours
from tooncrafter_core.frames.matte import key
from tooncrafter_core.frames.spans import spans_of_frames
from tooncrafter_core.models.layers import Layers
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.sketch_encoder import SketchEncoder
from tooncrafter_core.models.unet.unet import UNet
from tooncrafter_core.models.vae.autoencoder import Autoencoder, reference_pairs
from tooncrafter_core.models.vae.chunking import Chunking


class Stopped(Exception):
    """Raised by the host."""


class Host:
    """Counts how often it is asked, and stops the work at one of these times."""

    def __init__(self) -> None:
        self.asked = 0
        self.stops_at = 0

    def __call__(self) -> None:
        self.asked += 1
        if self.asked == self.stops_at:
            raise Stopped


def some_context() -> CrossContext:
    return CrossContext(torch.randn(1, 77, 32), torch.randn(1, 2, 16, 32))


def unet(layers: Layers) -> Callable[[], object]:
    model, one = UNet(MODEL.unet, layers), torch.ones(1)
    return lambda: model(torch.randn(1, 8, 2, 8, 8), one, one, some_context())


def sketch_encoder(layers: Layers) -> Callable[[], object]:
    model = SketchEncoder(SKETCH.sketch, layers)
    return lambda: model(torch.randn(1, 4, 2, 2, 2), torch.rand(1, 1, 2, 16, 16), torch.ones(1), some_context())


def encoder(layers: Layers) -> Callable[[], object]:
    model = Autoencoder(MODEL.autoencoder, layers)
    return lambda: model.encode_keyframes(torch.rand(1, 3, 16, 16))


def decoder(chunking: Chunking) -> Callable[[Layers], Callable[[], object]]:
    def of(layers: Layers) -> Callable[[], object]:
        model = Autoencoder(MODEL.autoencoder, layers)
        return lambda: model.decode_segments(torch.randn(1, 4, 4, 2, 2), None, chunking)

    return of


def long_decoder(layers: Layers) -> Callable[[], object]:
    """Of a segment in two groups that lie interleaved."""
    model = Autoencoder(MODEL.autoencoder, layers)
    keyframes = model.encode_keyframes(torch.rand(2, 3, 16, 16))
    maps = reference_pairs(keyframes.features)
    return lambda: decode(model, torch.randn(1, 4, 17, 2, 2), maps, False, lambda: 1e12)


def colours(layers: Layers) -> Callable[[], object]:
    frames = torch.rand(8, 3, 16, 16)
    return lambda: match_colours(frames, spans_of_frames(8, 0), before_frame=layers.before_block)


def matte(layers: Layers) -> Callable[[], object]:
    """Of a background that is as deep as the picture."""
    frames = torch.zeros(2, 3, 16, 16)
    return lambda: key(frames, 6.0, 24.0, layers.before_block)


CASES = {
    "unet": (unet, 30),
    "sketch encoder": (sketch_encoder, 30),
    "encoder": (encoder, 10),
    "decoder": (decoder(Chunking.WHOLE), 28),
    "decoder in chunks": (decoder(Chunking.FRAMES), 28 * 4),
    "decoder in groups": (long_decoder, 28 * 2),
    "colours": (colours, 6),
    "matte": (matte, 4),
}


@pytest.mark.parametrize(("make", "least"), CASES.values(), ids=CASES)
def test_work_ends_at_any_block(make: Callable[[Layers], Callable[[], object]], least: int) -> None:
    host = Host()
    work = make(Layers(before_block=host))
    before = host.asked  # what made the work ready is not counted
    work()
    blocks = host.asked = host.asked - before
    assert blocks >= least
    for stop in (1, blocks // 2, blocks):
        host.asked, host.stops_at = 0, stop
        with pytest.raises(Stopped):
            work()
        assert host.asked == stop
