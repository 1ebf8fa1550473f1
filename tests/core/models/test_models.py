"""The models take every size, length and number of frames they should, and refuse the rest."""

from __future__ import annotations

import pytest
import torch
from comparison import full, relative_error
from torch import Tensor

from tooncrafter_core import ToonCrafter
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.unet.projector import resample_frames
from tooncrafter_core.models.unet.transformer import CrossAttention
from tooncrafter_core.models.unet.unet import Controls
from tooncrafter_core.models.vae.autoencoder import reference_pairs

FRAMES = 3


def context_of(tiny: ToonCrafter, frames: int = FRAMES, text_tokens: int = 77) -> CrossContext:
    width = tiny.unet.config.context_dim
    return CrossContext(torch.randn(1, text_tokens, width), torch.randn(1, frames, 16, width))


def denoiser_input(height: int = 8, width: int = 8, frames: int = FRAMES) -> Tensor:
    return torch.randn(1, 8, frames, height // 8, width // 8)


def denoise(tiny: ToonCrafter, x: Tensor, context: CrossContext, controls: Controls | None = None) -> Tensor:
    return tiny.unet(x, full(x, 500), full(x, 10), context, controls)


def control(tiny: ToonCrafter, x: Tensor, context: CrossContext, strength: float = 1.0) -> Controls:
    assert tiny.sketch_encoder is not None
    hint = torch.rand(1, 1, x.shape[2], 8 * x.shape[3], 8 * x.shape[4])
    return tiny.sketch_encoder(x[:, :4], hint, full(x, 500), context, strength)


@pytest.mark.parametrize(("height", "width"), [(72, 88), (64, 64), (8, 8), (8, 136), (40, 56)])
def test_any_multiple_of_8(tiny: ToonCrafter, height: int, width: int) -> None:
    x, context = denoiser_input(height, width), context_of(tiny)
    v = denoise(tiny, x, context, control(tiny, x, context))
    assert v.shape == (1, 4, FRAMES, height // 8, width // 8)
    assert v.isfinite().all() and v.std() > 0
    encoded = tiny.autoencoder.encode_keyframes(torch.rand(2, 3, height, width) * 2 - 1)
    assert encoded.latents.shape == (2, 4, height // 8, width // 8)
    frames = tiny.autoencoder.decode_segments(v, reference_pairs(encoded.features))
    assert frames.shape == (1, 3, FRAMES, height, width)
    assert frames.isfinite().all()


@pytest.mark.parametrize("tokens", [1, 154])
def test_text_of_any_length(tiny: ToonCrafter, tokens: int) -> None:
    """And to its last token it counts."""
    x, context = denoiser_input(16, 16), context_of(tiny, text_tokens=tokens)
    out = denoise(tiny, x, context, control(tiny, x, context))
    assert out.shape == (1, 4, FRAMES, 2, 2)
    changed = context.text.clone()
    changed[:, -1] *= 20
    assert relative_error(denoise(tiny, x, CrossContext(changed, context.image)), denoise(tiny, x, context)) > 1e-3


@pytest.mark.parametrize("frames", [2, 8, 20])
def test_any_number_of_frames(tiny: ToonCrafter, frames: int) -> None:
    trained = tiny.projector(torch.randn(1, 50, tiny.projector.config.input_dim))
    tokens = resample_frames(trained, frames)
    assert tokens.shape == (1, frames, *trained.shape[2:])
    assert torch.allclose(tokens[:, 0], trained[:, 0]) and torch.allclose(tokens[:, -1], trained[:, -1])
    context = CrossContext(context_of(tiny).text, tokens)
    assert denoise(tiny, denoiser_input(frames=frames), context).shape[2] == frames


def test_frames_are_resampled_evenly() -> None:
    ramp = torch.arange(16.0).view(1, 16, 1, 1).expand(2, 16, 3, 5)
    assert torch.allclose(resample_frames(ramp, 31), torch.linspace(0, 15, 31).view(1, 31, 1, 1).expand(2, 31, 3, 5))
    assert resample_frames(ramp, 16) is ramp


def kept(model: torch.nn.Module, context: CrossContext) -> list[list[torch.Size]]:
    """Shapes of the keys (text, then image) that each cross-attention left behind."""
    layers = [layer for layer in model.modules() if isinstance(layer, CrossAttention)]
    assert layers
    pairs = [context.keys_values(layer, lambda: pytest.fail("nothing was kept")) for layer in layers]
    return [[keys.shape for keys, _ in pair] for pair in pairs]


def test_keys_are_not_repeated(tiny: ToonCrafter) -> None:
    """Text keys stand once for all frames, image keys once for each frame."""
    context = context_of(tiny)
    denoise(tiny, denoiser_input(), context)
    for text, image in kept(tiny.unet, context):
        assert text[:2] == (1, 77)
        assert image[:2] == (FRAMES, 16)


def test_shared_image_tokens_are_not_repeated(tiny: ToonCrafter) -> None:
    context = CrossContext(torch.randn(1, 77, 32), torch.randn(1, 40, 32))
    denoise(tiny, denoiser_input(), context)
    assert all(image[:2] == (1, 40) for _, image in kept(tiny.unet, context))


def test_the_sketch_encoder_keeps_text_keys_only(tiny: ToonCrafter) -> None:
    context = context_of(tiny)
    control(tiny, denoiser_input(), context)
    assert tiny.sketch_encoder is not None
    assert all([text[:2] for text in keys] == [(1, 77)] for keys in kept(tiny.sketch_encoder, context))


def test_strength_scales_every_output(tiny: ToonCrafter) -> None:
    x, context = denoiser_input(16, 16), context_of(tiny)
    torch.manual_seed(0)
    whole = control(tiny, x, context)
    torch.manual_seed(0)
    half = control(tiny, x, context, 0.5)
    for a, b in zip([*whole.skips, whole.middle], [*half.skips, half.middle], strict=True):
        assert torch.allclose(a * 0.5, b, atol=1e-6) and a.std() > 0
    assert relative_error(denoise(tiny, x, context, whole), denoise(tiny, x, context)) > 1e-3


def test_two_passes_differ_in_the_centre_frames_only(tiny: ToonCrafter) -> None:
    latents, references = torch.randn(1, 4, 8, 1, 1), [torch.randn(s) for s in reference_shapes(8)]
    once = tiny.autoencoder.decode_segments(latents, references)
    twice = tiny.autoencoder.decode_segments_twice(latents, references)
    same = [torch.equal(once[:, :, i], twice[:, :, i]) for i in range(8)]
    assert same == [True, True, True, False, False, True, True, True]


@pytest.mark.parametrize("frames", [2, 4, 5, 7])
def test_segments_without_such_a_pair_are_decoded_once(tiny: ToonCrafter, frames: int) -> None:
    latents, references = torch.randn(1, 4, frames, 1, 1), [torch.randn(s) for s in reference_shapes(8)]
    once = tiny.autoencoder.decode_segments(latents, references)
    assert torch.equal(tiny.autoencoder.decode_segments_twice(latents, references), once)


def reference_shapes(side: int) -> list[tuple[int, ...]]:
    widths = (32, 64, 128, 128)
    return [*((1, 2, c, side >> i, side >> i) for i, c in enumerate(widths)), (1, 2, 32, side, side)]


def test_shapes_that_do_not_fit(tiny: ToonCrafter) -> None:
    x, context = denoiser_input(), context_of(tiny)
    one = full(x, 1)
    assert tiny.sketch_encoder is not None
    with pytest.raises(ValueError, match=r"U-Net input has shape \(1, 4, 3, 1, 1\); expected \(b, 8, t, h, w\)"):
        tiny.unet(x[:, :4], one, one, context)
    with pytest.raises(ValueError, match=r"U-Net input has shape \(1, 8, 1, 1\)"):
        tiny.unet(x[:, :, 0], one, one, context)
    with pytest.raises(ValueError, match=r"sketch hint .* expected \(1, 1, 3, 8, 8\)"):
        tiny.sketch_encoder(x[:, :4], torch.rand(1, 1, 3, 8, 16), one, context)
    with pytest.raises(ValueError, match=r"sketch hint .* expected \(1, 1, 3, 8, 8\)"):
        tiny.sketch_encoder(x[:, :4], torch.rand(1, 3, 3, 8, 8), one, context)


@pytest.mark.parametrize("shape", [(2, 3, 60, 64), (2, 3, 64, 60), (2, 4, 64, 64), (3, 64, 64)])
def test_pictures_that_do_not_fit(tiny: ToonCrafter, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"images have shape .* multiples of 8"):
        tiny.autoencoder.encode_keyframes(torch.rand(shape))


def test_tower_inputs_that_do_not_fit(tiny: ToonCrafter) -> None:
    with pytest.raises(ValueError, match=r"\(1, 76\); expected \(b, 77\)"):
        tiny.text(torch.zeros(1, 76, dtype=torch.long))
    with pytest.raises(ValueError, match=r"expected \(b, 3, 224, 224\)"):
        tiny.vision(torch.zeros(1, 3, 224, 200))


def test_contexts_that_do_not_fit() -> None:
    text, image = torch.randn(2, 77, 8), torch.randn(2, 3, 16, 8)
    CrossContext(text, image)
    with pytest.raises(ValueError, match=r"\(77, 8\); expected \(b, L, d\)"):
        CrossContext(text[0])
    with pytest.raises(ValueError, match=r"with b = 2"):
        CrossContext(text, image[:1])
    with pytest.raises(ValueError, match=r"expected \(b, t, n, d\) or \(b, m, d\)"):
        CrossContext(text, image[None])
    with pytest.raises(ValueError, match="with and without image tokens"):
        CrossContext.join([CrossContext(text, image), CrossContext(text)])


@pytest.mark.parametrize(("batch", "frames"), [(1, 6), (2, 3)])
def test_image_tokens_of_another_number_of_frames_or_batch(tiny: ToonCrafter, batch: int, frames: int) -> None:
    x = denoiser_input(16, 16, frames).repeat(batch, 1, 1, 1, 1)
    with pytest.raises(ValueError):
        tiny.unet(x, full(x, *[500] * batch), full(x, *[10] * batch), context_of(tiny))
