"""Pictures of any size come to the model's size, and drawings become hints."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tooncrafter_core.files.images import FITS, check_size, fit_images, pad_to_latents, sketch_hints, to_rgb

ODD_SIZES = [(37, 91), (91, 37), (64, 64), (1, 1), (640, 3), (65, 63), (8, 200)]


@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
@pytest.mark.parametrize("fit", FITS)
def test_every_fit_gives_the_size_and_stays_in_range(fit: Any, size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size).round()
    fitted = fit_images(images, 72, 40, fit)
    assert fitted.shape == (2, 3, 40, 72)
    assert fitted.min() >= 0 and fitted.max() <= 1


@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
@pytest.mark.parametrize("fit", FITS)
def test_no_fit_adds_a_colour(fit: Any, size: tuple[int, int]) -> None:
    """A white picture stays white to the last pixel of its edges."""
    assert (fit_images(torch.ones(1, 3, *size), 72, 40, fit) > 0.999).all()


@pytest.mark.parametrize("fit", FITS)
def test_a_picture_of_the_size_is_left_alone(fit: Any) -> None:
    image = torch.rand(1, 3, 40, 72)
    assert torch.equal(fit_images(image, 72, 40, fit), image)


def stripes() -> Tensor:
    """96 x 32: thirds of 0, 0.5 and 1 from left to right."""
    return torch.tensor([0.0, 0.5, 1.0]).repeat_interleave(32).expand(1, 3, 32, 96)


def middle_row(fit: Any) -> Tensor:
    return fit_images(stripes(), 32, 32, fit)[0, 0, 16]


def test_crop_keeps_the_middle() -> None:
    assert torch.allclose(middle_row("crop"), torch.tensor(0.5))


def test_stretch_keeps_everything() -> None:
    row = middle_row("stretch")
    assert row[4] < 0.05 and abs(row[16] - 0.5) < 0.05 and row[28] > 0.95


def test_pad_keeps_the_shape_and_repeats_the_edges() -> None:
    padded = fit_images(stripes(), 96, 96, "pad")
    assert torch.equal(padded[:, :, 32:64], stripes())
    assert torch.equal(padded[:, :, 0], stripes()[:, :, 0])
    assert torch.equal(padded[:, :, -1], stripes()[:, :, -1])


def test_an_unknown_fit() -> None:
    wrong: Any = "cover"
    with pytest.raises(ValueError, match="'cover'; expected one of crop, pad, stretch"):
        fit_images(stripes(), 8, 8, wrong)


@pytest.mark.parametrize(("width", "height"), [(0, 64), (-8, 64), (7, 64), (64, 0)])
def test_sizes_that_cannot_be(width: int, height: int) -> None:
    check_size(8, 501)
    name = "width" if height == 64 else "height"
    with pytest.raises(ValueError, match=f"{name} is -?\\d+; expected 8 to 16384 pixels"):
        check_size(width, height)


@pytest.mark.parametrize(("size", "padded"), [((16, 24), (16, 24)), ((17, 23), (24, 24)), ((300, 500), (304, 504))])
def test_edges_are_repeated_up_to_whole_latents(size: tuple[int, int], padded: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size)
    out = pad_to_latents(image)
    assert out.shape[-2:] == padded
    assert torch.equal(out[..., : size[0], : size[1]], image)
    assert torch.equal(out[..., size[0] :, : size[1]], image[..., -1:, :].expand(-1, -1, padded[0] - size[0], -1))
    assert torch.equal(out[..., size[1] :], out[..., size[1] - 1 : size[1]].expand(-1, -1, -1, padded[1] - size[1]))


def test_grey_becomes_rgb() -> None:
    grey = torch.rand(2, 1, 4, 5)
    assert torch.equal(to_rgb(grey), grey.expand(-1, 3, -1, -1))


def test_transparent_becomes_white() -> None:
    colours = torch.rand(1, 3, 1, 3)
    alpha = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    flat = to_rgb(torch.cat([colours, alpha], dim=1))
    assert torch.equal(flat[..., 0], torch.ones(1, 3, 1))
    assert torch.allclose(flat[..., 1], 0.25 * colours[..., 1] + 0.75)
    assert torch.equal(flat[..., 2], colours[..., 2])


@pytest.mark.parametrize("shape", [(1, 2, 4, 5), (1, 5, 4, 5), (3, 4, 5), (1, 0, 4, 5)], ids=str)
def test_other_channels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected 1 .grey., 3 .RGB. or 4 .RGBA. channels"):
        to_rgb(torch.rand(shape))


def white_line() -> Tensor:
    """White on black."""
    page = torch.zeros(1, 3, 16, 16)
    page[:, :, 7] = 1
    return page


def test_both_polarities_give_the_same_hint() -> None:
    hint = white_line()[:, :1]
    assert torch.allclose(sketch_hints(white_line()), hint)
    assert torch.allclose(sketch_hints(1 - white_line()), hint)
    assert torch.allclose(sketch_hints(1 - white_line()[:, :1]), hint)


def test_every_drawing_is_judged_by_itself() -> None:
    both = torch.cat([white_line(), 1 - white_line()])
    assert torch.allclose(sketch_hints(both), white_line()[:, :1].repeat(2, 1, 1, 1))


@pytest.mark.parametrize(("light", "lines"), [(9, "dark"), (7, "light")])
def test_the_commoner_shade_is_the_paper(light: int, lines: str) -> None:
    """Of 16 columns."""
    page = torch.zeros(1, 3, 16, 16)
    page[..., :light] = 1
    assert torch.allclose(sketch_hints(page), (1 - page if lines == "dark" else page)[:, :1])


def test_polarity_can_be_told() -> None:
    """Of a page that looks the other way round, as a closed black shape on paper does."""
    page = 1 - white_line()
    assert torch.allclose(sketch_hints(page, "light on dark"), page[:, :1])
    assert torch.allclose(sketch_hints(1 - page, "dark on light"), page[:, :1])
    wrong: Any = "inverted"
    with pytest.raises(ValueError, match="polarity is 'inverted'; expected one of auto, dark on light"):
        sketch_hints(page, wrong)


@pytest.mark.parametrize("shade", [0.0, 1.0])
def test_a_blank_page_is_no_sketch(shade: float) -> None:
    assert sketch_hints(torch.full((1, 3, 16, 16), shade)).count_nonzero() == 0
