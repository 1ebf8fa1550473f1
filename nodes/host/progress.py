"""Progress on ComfyUI's page while frames are decoded."""

from __future__ import annotations

import math

from comfy.utils import ProgressBar

from ...tooncrafter_core.models.vae.chunking import Report


class FrameProgress:
    """Counts frames, of which a decoder works on many at once: half of the work on 16 frames are 8 frames.

    Args:
        total: frames of all segments.
    """

    def __init__(self, total: int) -> None:
        self._total, self._begun, self._shown = total, 0, 0
        self._bar = ProgressBar(total)

    def of_next(self, frames: int) -> Report:
        """What the decoder of the next segment reports to."""
        before = self._begun
        self._begun += frames

        def report(share: float) -> None:
            done = before + math.floor(share * frames + 1e-6)  # shares are sums of fractions
            if done != self._shown:
                self._shown = done
                self._bar.update_absolute(done, self._total)

        return report
