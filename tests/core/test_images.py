"""Pictures of any size come to the model's size, and drawings become hints."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tooncrafter_core.images import FITS, check_size, fit_images, sketch_hints

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


@pytest.mark.parametrize(("width", "height"), [(0, 64), (-8, 64), (4, 64), (64, 0), (64, 100)])
def test_sizes_that_cannot_be(width: int, height: int) -> None:
    check_size(8, 72)
    name = "width" if height == 64 else "height"
    with pytest.raises(ValueError, match=f"{name} is -?\\d+; expected a multiple of 8"):
        check_size(width, height)


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


@pytest.mark.parametrize("shade", [0.0, 1.0])
def test_a_blank_page_is_no_sketch(shade: float) -> None:
    assert sketch_hints(torch.full((1, 3, 16, 16), shade)).count_nonzero() == 0
