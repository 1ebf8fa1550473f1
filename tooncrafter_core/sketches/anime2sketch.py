"""Anime2Sketch (Xiang et al. 2021): line drawings by a network, which ToonCrafter's sketch encoder was trained with.

Its generator is the U-Net of pix2pix (Isola et al. 2017, appendix 6.1.1): eight convolutions of stride 2 down, eight
transposed ones up, each step up joined by the features of its size on the way down.

Written from the published layout, and tried with files of random weights in it; the real file was not at hand, so
what it draws has not been compared with the original's output.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..files.weight_file import read_weight_file

_PREFIX = "model."
_KERNEL = 4


class _Level(nn.Module):
    """One level of the U-Net: down, all deeper levels, up; with its input before the result.

    Its `model` has the published order, so the files' names fit: outermost [down, deeper, ReLU, up, tanh], between
    [leaky ReLU, down, norm, deeper, ReLU, up, norm], innermost [leaky ReLU, down, ReLU, up, norm].

    Args:
        inside: channels of its input.
        width: channels below it.
        outside: channels that it returns, its input not counted.
        deeper: the next level, which returns 2 width channels; None for the innermost.
        outermost: whether it is the first.
    """

    def __init__(self, inside: int, width: int, outside: int, deeper: _Level | None, outermost: bool) -> None:
        super().__init__()
        self.outermost = outermost
        innermost = deeper is None
        down = nn.Conv2d(inside, width, _KERNEL, stride=2, padding=1, bias=True)
        up = nn.ConvTranspose2d(width if innermost else 2 * width, outside, _KERNEL, stride=2, padding=1, bias=True)
        between: list[nn.Module] = [] if deeper is None else [deeper]
        if outermost:
            parts = [down, *between, nn.ReLU(), up, nn.Tanh()]
        elif innermost:
            parts = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, nn.InstanceNorm2d(outside)]
        else:
            normed = [nn.LeakyReLU(0.2), down, nn.InstanceNorm2d(width)]
            parts = [*normed, *between, nn.ReLU(), up, nn.InstanceNorm2d(outside)]
        self.model = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inside, H, W) -> (n, outside, H, W) for the outermost, else (n, inside + outside, H, W)."""
        y: Tensor = self.model(x)
        return y if self.outermost else torch.cat([x, y], dim=1)


class Anime2SketchLines(nn.Module):
    """The generator, frozen, as a line extractor. Made by `load_anime2sketch`.

    Args:
        widths: channels below each level, the outermost first.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        level: _Level | None = None
        for depth in range(len(widths) - 1, 0, -1):
            level = _Level(widths[depth - 1], widths[depth], widths[depth - 1], level, outermost=False)
        self.model = _Level(3, widths[0], 1, level, outermost=True)
        self.multiple = 2 ** len(widths)
        self.requires_grad_(False).eval()

    def forward(self, frames: Tensor) -> Tensor:
        """Draw the lines of frames.

        Frames are resized to the next multiple of 2^levels (256 for the published network), and the drawing back.

        Args:
            frames: (n, 3, H, W), RGB in [0, 1].

        Returns:
            (n, 1, H, W) in [0, 1], white on black.

        Raises:
            ValueError: the shape does not fit.
        """
        if frames.ndim != 4 or frames.shape[1] != 3:
            raise ValueError(f"frames {tuple(frames.shape)} came to Anime2Sketch; it takes (n, 3, H, W)")
        height, width = frames.shape[2:]
        sides = [-(-side // self.multiple) * self.multiple for side in (height, width)]
        weight = next(self.parameters())
        x = F.interpolate(frames.to(weight), size=sides, mode="bicubic", antialias=True).clamp(0, 1)
        with torch.no_grad():
            dark = (self.model(2 * x - 1) + 1) / 2
        return (1 - F.interpolate(dark, size=(height, width), mode="bilinear", antialias=True)).clamp(0, 1)


def load_anime2sketch(path: Path) -> Anime2SketchLines:
    """Read the generator from its weight file; its depth and widths are seen from the tensors.

    Names may have `module.` before them, which data-parallel training leaves.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: the file holds something else.
    """
    tensors = {name.removeprefix("module."): tensor for name, tensor in read_weight_file(path).items()}
    widths = _infer_widths(tensors)
    if len(widths) < 2 or tensors[f"{_PREFIX}model.0.weight"].shape[1] != 3:
        raise ValueError(
            f"{path} holds no Anime2Sketch generator: expected nested tensors model.model.0.weight (w, 3, 4, 4), "
            f"model.model.1.model.1.weight, ...; it has {', '.join(list(tensors)[:4]) or 'no tensors by name'}"
        )
    lines = Anime2SketchLines(widths)
    try:
        lines.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path} is not a whole Anime2Sketch generator: {error}") from error
    return lines


def _infer_widths(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Channels of the convolutions down, the outermost first; empty if the names are not a generator's."""
    widths = []
    prefix, at = f"{_PREFIX}model.", 0
    while (weight := tensors.get(f"{prefix}{at}.weight")) is not None and tuple(weight.shape[2:]) == (_KERNEL, _KERNEL):
        widths.append(weight.shape[0])
        prefix, at = f"{prefix}{1 if len(widths) == 1 else 3}.model.", 1
    return tuple(widths)
