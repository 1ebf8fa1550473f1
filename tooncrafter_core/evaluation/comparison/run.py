"""Every method on every clip, one after the other, so that no more than one clip is in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from ..clips import Clip, size
from ..measures.distributions import frechet_distance, kernel_distance
from ..measures.measure import Measure, Truth
from ..measures.video_features import VideoFeatures
from ..methods.gap import Gap, Method
from ..report.windows import as_bytes, as_float
from .scores import TRUTH, Column, Row, Scores

_log = logging.getLogger(__name__)

Show = Callable[[Clip, Mapping[str, Tensor]], None]
"""Is handed every clip's frames by method, the truth first."""


@dataclass(frozen=True)
class Comparison:
    """What is compared, and by what.

    Attributes:
        clips: the true ones.
        methods: by name.
        measures: of every in-between.
        features: of whole clips, for distances between the sets of true and of drawn ones.
    """

    clips: Sequence[Clip]
    methods: Mapping[str, Method]
    measures: Sequence[Measure]
    features: VideoFeatures | None = None

    def run(self, show: Show) -> Scores:
        """Draw and measure everything.

        Raises:
            ValueError: a method's frames do not fit the truth.
        """
        scores = Scores(self.measures, self._set_columns())
        features: dict[tuple[str, str], Tensor] = {}
        for clip in tqdm(self.clips, unit="clip"):
            truth = Truth(clip.frames(), clip.prompt)
            drawn = {TRUTH: truth.frames, **self._drawn(clip, truth.frames)}
            scores.rows += [self._row(name, clip, frames, truth) for name, frames in drawn.items()]
            if self.features:
                features |= {(name, clip.name): self.features.of(frames) for name, frames in drawn.items()}
            show(clip, drawn)
        if self.features:
            scores.distances = self._distances(features, scores.groups)
        return scores

    def _drawn(self, clip: Clip, true: Tensor) -> dict[str, Tensor]:
        """Each method's frames, as a picture file would keep them."""
        gap = Gap(clip.name, true[0], true[-1], len(true), clip.fps, clip.prompt)
        drawn = {name: as_float(as_bytes(method(gap))) for name, method in self.methods.items()}
        for name, frames in drawn.items():
            if frames.shape != true.shape:
                raise ValueError(
                    f"{name} gave {len(frames)} frames of {size(frames)} for {clip.name}; expected {len(true)} of "
                    f"{size(true)}"
                )
        return drawn

    def _row(self, method: str, clip: Clip, frames: Tensor, truth: Truth) -> Row:
        measures = [each for each in self.measures if method != TRUTH or each.of_truth]
        return Row(method, clip.name, clip.group, {each.name: each.values(frames, truth).tolist() for each in measures})

    def _set_columns(self) -> list[Column]:
        if self.features is None:
            return []
        file = self.features.path.name
        about = f"distance between all true and all drawn clips, of the features that {file} makes of them."
        return [
            Column(f"Frechet distance ({file})", "lower", f"Frechet {about}"),
            Column(f"kernel distance ({file})", "lower", f"Polynomial-kernel (MMD^2, unbiased) {about}"),
        ]

    def _distances(
        self, features: Mapping[tuple[str, str], Tensor], groups: Sequence[str]
    ) -> dict[tuple[str, str], dict[str, float]]:
        """By (method, group), where a group has two clips or more."""
        frechet, kernel = (column.name for column in self._set_columns())
        distances = {}
        for group in ("", *groups):
            names = [clip.name for clip in self.clips if group in ("", clip.group)]
            if len(names) < 2:
                _log.warning("%s: one clip only; no distance between sets", group or "all clips")
                continue
            true = torch.stack([features[TRUTH, name] for name in names])
            for method in self.methods:
                drawn = torch.stack([features[method, name] for name in names])
                values = {frechet: frechet_distance(drawn, true), kernel: kernel_distance(drawn, true)}
                distances[method, group] = values
        return distances
