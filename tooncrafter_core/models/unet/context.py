"""What the U-Net's cross-attention attends to, and the keys and values it keeps over the sampling steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .projector import resample_frames

KeysValues = tuple[Tensor, Tensor]


class CrossContext:
    """Text and image tokens of a batch of segments, with the keys and values made from them.

    Keys and values depend on the tokens and the weights only, not on the noisy latents. Each cross-attention
    layer makes its own at the first step and finds them here at every later one: 16.6 MB in half precision at
    the published size.

    Args:
        text: (b, L, d), any L; shared by all frames of a segment.
        image: (b, t, n, d): frame i attends to its own n tokens. Or (b, m, d): every frame attends to all m
            (what the published code does when the frame count is not the trained one). None: no image tokens.
        keep: False makes keys and values anew at each use: for training, and where there are many contexts (it costs
            0.1% of a U-Net pass at the published size).

    Raises:
        ValueError: the shapes do not fit together.
    """

    def __init__(self, text: Tensor, image: Tensor | None = None, keep: bool = True) -> None:
        if text.ndim != 3:
            raise ValueError(f"text tokens have shape {tuple(text.shape)}; expected (b, L, d)")
        if image is not None and (image.ndim not in (3, 4) or image.shape[0] != text.shape[0]):
            raise ValueError(
                f"image tokens have shape {tuple(image.shape)}; expected (b, t, n, d) or (b, m, d) "
                f"with b = {text.shape[0]} as the text tokens have"
            )
        self.text = text
        self.image = image
        self._keep = keep
        self._kept: dict[nn.Module, tuple[KeysValues, ...]] = {}

    def check(self, batch: int, frames: int) -> None:
        """Raise ValueError unless the tokens are for this many segments of this many frames."""
        for_frames = self.image.shape[1] if self.image is not None and self.image.ndim == 4 else frames
        if (len(self.text), for_frames) != (batch, frames):
            raise ValueError(
                f"the context is for {len(self.text)} segment(s) of {for_frames} frames; expected {batch} of {frames}. "
                "Resample the image tokens with `resample_frames`."
            )

    @property
    def image_rows(self) -> Tensor | None:
        """Image tokens with one row for each query group: (b t, n, d), or (b, m, d) when shared."""
        return self.image.flatten(0, 1) if self.image is not None and self.image.ndim == 4 else self.image

    def keys_values(self, layer: nn.Module, make: Callable[[], tuple[KeysValues, ...]]) -> tuple[KeysValues, ...]:
        """The keys and values of one layer, made at the first call; in a compiled graph, where the first pass would be
        another graph than the next, at each."""
        if not self._keep or torch.compiler.is_compiling():
            return make()
        if layer not in self._kept:
            self._kept[layer] = make()
        return self._kept[layer]

    def resampled(self, frames: int) -> CrossContext:
        """The context of segments of another number of frames, see `resample_frames`; of this number, itself."""
        if self.image is None or self.image.ndim == 3 or self.image.shape[1] == frames:
            return self
        return CrossContext(self.text, resample_frames(self.image, frames), self._keep)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> CrossContext:
        """The same tokens on another device and in another dtype, nothing kept yet."""
        image = None if self.image is None else self.image.to(device, dtype)
        return CrossContext(self.text.to(device, dtype), image, self._keep)

    def first(self) -> CrossContext:
        """The first of several joined contexts by itself, keeping nothing; a single one, itself."""
        if len(self.text) == 1:
            return self
        return CrossContext(self.text[:1], None if self.image is None else self.image[:1], keep=False)

    @staticmethod
    def join(contexts: Sequence[CrossContext]) -> CrossContext:
        """One batch of several contexts of equal shapes, nothing kept yet; it keeps what all of them would."""
        images = [c.image for c in contexts if c.image is not None]
        if images and len(images) != len(contexts):
            raise ValueError("cannot join contexts with and without image tokens")
        keep = all(c._keep for c in contexts)
        return CrossContext(torch.cat([c.text for c in contexts]), torch.cat(images) if images else None, keep)
