"""Line drawings: the built-in extractor on drawn shapes, and Anime2Sketch from files of random weights."""

from __future__ import annotations

from pathlib import Path

import kornia
import pytest
import torch
from torch import Tensor

from tooncrafter_core.sketches.anime2sketch import load_anime2sketch
from tooncrafter_core.sketches.lines import Anime2SketchLines, extract_lines, load_line_extractor

SIZES = [(64, 128), (320, 512), (75, 97)]


def _disc(height: int, width: int) -> Tensor:
    """Distance in pixels from a circle of a quarter of the height around the centre, (h, w); negative inside."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((rows - height / 2) ** 2 + (columns - width / 2) ** 2).sqrt() - height / 4


def _same_lightness(a: float, b: float) -> Tensor:
    """Two colours of L* 60 with opposite hues, (2, 3)."""
    lab = torch.tensor([[60.0, a, b], [60.0, -a, -b]])[:, :, None, None]
    return kornia.color.lab_to_rgb(lab)[:, :, 0, 0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["lightness", "colour"])
def test_an_edge_is_one_thin_line(size: tuple[int, int], kind: str) -> None:
    distance = _disc(*size)
    pair = _same_lightness(30.0, 25.0) if kind == "colour" else torch.tensor([[0.9] * 3, [0.5] * 3])
    frame = torch.where(distance[None] < 0, pair[0][:, None, None], pair[1][:, None, None])[None]
    lines = extract_lines(frame)
    assert lines.shape == (1, 1, *size)
    assert lines.min() >= 0
    assert lines.max() <= 1
    lit = lines[0, 0] > 0.3
    assert not lit[distance.abs() > 2].any()
    circumference = 2 * torch.pi * size[0] / 4
    assert 0.8 * circumference < int(lit.sum()) < 3 * circumference
    around = torch.nn.functional.max_pool2d(lines, 3, stride=1, padding=1)[0, 0]
    assert (around[distance.abs() < 0.6] > 0.3).float().mean() > 0.95


@pytest.mark.parametrize("kind", ["lightness", "colour"])
@pytest.mark.parametrize("upright", [True, False])
def test_an_edge_between_two_pixels_has_no_gaps(upright: bool, kind: str) -> None:
    """Both sides of it are as steep; a ten-thousandth of a grey level, like other rounding, decides nothing."""
    pair = _same_lightness(30.0, 25.0) if kind == "colour" else torch.tensor([[0.9] * 3, [0.5] * 3])
    frame = pair[1][:, None, None].repeat(1, 200, 200)
    frame[..., 100:] = pair[0][:, None, None]
    noise = 4e-7 * torch.randn(4, 3, 200, 200, generator=torch.Generator().manual_seed(0))
    noise[0] = 0
    frames = noise + (frame if upright else frame.mT)
    lines = extract_lines(frames)[:, 0]
    across = lines if upright else lines.mT
    assert (across.amax(2) > 0.3).all()
    assert (across > 0.3).sum(2).max() <= 3
    torch.testing.assert_close(lines[1:], lines[:1].expand(3, -1, -1), atol=0.01, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_a_dark_line_is_one_line(size: tuple[int, int]) -> None:
    """Not one at each of its sides: on the way from the centre outwards there is one crest."""
    half = 1.0 if size[0] > 100 else 0.6
    ink = (half + 0.5 - _disc(*size).abs()).clamp(0, 1)
    lines = extract_lines((0.85 - 0.7 * ink).expand(1, 3, *size))
    row = lines[0, 0, size[0] // 2, size[1] // 2 :]
    lit = torch.cat([torch.zeros(1, dtype=torch.bool), row > 0.3])
    assert int((lit[1:] & ~lit[:-1]).sum()) == 1
    assert lines.max() > 0.8


@pytest.mark.parametrize("size", SIZES)
def test_flat_and_gently_shaded_frames_are_black(size: tuple[int, int]) -> None:
    ramp = torch.linspace(0.1, 0.9, size[1]).expand(1, 3, *size)
    assert extract_lines(torch.full((1, 3, *size), 0.4)).max() == 0
    assert extract_lines(ramp).max() == 0


def test_frames_are_drawn_alone() -> None:
    frames = torch.rand(3, 3, 20, 28)
    torch.testing.assert_close(extract_lines(frames)[1:2], extract_lines(frames[1:2]))


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 8, 32)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="line extractor"):
        extract_lines(torch.zeros(shape))


def _save_generator(path: Path, widths: tuple[int, ...], prefix: str = "") -> dict[str, Tensor]:
    """A file of random weights in the published layout, named by hand."""
    torch.manual_seed(0)
    tensors: dict[str, Tensor] = {}
    levels, root, before = len(widths), "model.model", 3
    for depth, width in enumerate(widths):
        down, up = (0, 3) if depth == 0 else (1, 3 if depth == levels - 1 else 5)
        outside = 1 if depth == 0 else before
        inner = width if depth == levels - 1 else 2 * width
        tensors[f"{prefix}{root}.{down}.weight"] = torch.randn(width, before, 4, 4) * 0.1
        tensors[f"{prefix}{root}.{down}.bias"] = torch.zeros(width)
        tensors[f"{prefix}{root}.{up}.weight"] = torch.randn(inner, outside, 4, 4) * 0.1
        tensors[f"{prefix}{root}.{up}.bias"] = torch.zeros(outside)
        root, before = f"{root}.{1 if depth == 0 else 3}.model", width
    torch.save(tensors, path)
    return tensors


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("widths", [(4, 8, 8), (2, 4, 8, 16, 16, 16, 16, 16)])
def test_anime2sketch_file(tmp_path: Path, widths: tuple[int, ...], prefix: str) -> None:
    _save_generator(tmp_path / "netG.pth", widths, prefix)
    lines = load_line_extractor(tmp_path / "netG.pth")
    assert isinstance(lines, Anime2SketchLines)
    assert lines.multiple == 2 ** len(widths)
    frames = torch.rand(2, 3, 50, 90)
    found = lines(frames)
    assert found.shape == (2, 1, 50, 90)
    assert found.min() >= 0
    assert found.max() <= 1
    torch.testing.assert_close(found[1:], lines(frames[1:]))
    with pytest.raises(ValueError, match="Anime2Sketch"):
        lines(frames[0])


def test_anime2sketch_is_inverted(tmp_path: Path) -> None:
    """A generator that answers white everywhere draws no lines."""
    tensors = _save_generator(tmp_path / "netG.pth", (4, 8, 8))
    tensors["model.model.3.weight"].zero_()
    tensors["model.model.3.bias"].fill_(20.0)
    torch.save(tensors, tmp_path / "netG.pth")
    assert load_anime2sketch(tmp_path / "netG.pth")(torch.rand(1, 3, 32, 32)).max() == 0


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(4, 3, 4, 4)}, path)
    with pytest.raises(ValueError, match=r"no Anime2Sketch generator.*it has conv\.weight"):
        load_line_extractor(path)
    torch.save([1], path)
    with pytest.raises(ValueError, match="holds a list"):
        load_line_extractor(path)
    for text in ("text", "no weights", ""):
        path.write_text(text)
        with pytest.raises(ValueError, match="not a weight file"):
            load_line_extractor(path)
    with pytest.raises(FileNotFoundError):
        load_line_extractor(tmp_path / "absent.pth")
    tensors = _save_generator(path, (4, 8, 8))
    del tensors["model.model.1.model.5.bias"]
    torch.save(tensors, path)
    with pytest.raises(ValueError, match=r"(?s)not a whole Anime2Sketch generator.*model\.model\.1\.model\.5\.bias"):
        load_line_extractor(path)


def test_without_a_file_it_is_the_built_in_one() -> None:
    assert load_line_extractor(None) is extract_lines
