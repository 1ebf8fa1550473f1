"""Features of whole clips by a network that the user names."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 224
"""px of the square that networks for videos are trained on; clips are stretched to it."""


class VideoFeatures:
    """A TorchScript module: videos (n, 3, t, 224, 224) in [-1, 1] -> features (n, d).

    Args:
        path: the file. TorchScript is a program; take it from those you trust.

    Raises:
        ValueError: no such file, or no TorchScript.
    """

    def __init__(self, path: Path) -> None:
        if not os.path.isfile(path):
            raise ValueError(f"{path} is not a file; expected a TorchScript module that makes features of videos")
        try:
            self._module = torch.jit.load(str(path), map_location="cpu").eval()
        except RuntimeError as error:
            raise ValueError(f"{path} is not a TorchScript module: {str(error).splitlines()[0]}") from error
        self.path = path
        self.of(torch.zeros(16, 3, SIDE, SIDE))

    def of(self, frames: Tensor) -> Tensor:
        """Features (d,) of a clip (t, 3, H, W) in [0, 1].

        Raises:
            ValueError: the module does not take it, or gives something else.
        """
        video = F.interpolate(frames * 2 - 1, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        try:
            with torch.inference_mode():
                features = self._module(video.transpose(0, 1)[None])
        except RuntimeError as error:
            raise ValueError(
                f"{self.path} does not take a video (1, 3, {len(frames)}, {SIDE}, {SIDE}) in [-1, 1]: "
                f"{str(error).splitlines()[-1]}"
            ) from error
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 1:
            came = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(f"{self.path} gives {came} for one video; expected features (1, d)")
        return features[0].float()
