"""What is measured on one window. Every function gives numbers by name; distances are perceptual, smaller is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...sketches.lines import extract_lines
from ...training.losses.perceptual import load_perceptual
from ..metrics import (
    Distance,
    EdgeMatch,
    cross_dissolve,
    edge_match,
    line_mask,
    nearest_keyframe,
    perceptual_distances,
    psnr,
)
from .faults import faults
from .store import RESULTS, Renders, Results, Values
from .subject import Subject, file_hash
from .windows import MIDDLE, Window, as_float, digest

VERSION = 2
"""To be raised when a measure changes, so that numbers of the old one are not used again."""

BESIDE = (MIDDLE - 2, MIDDLE - 1, MIDDLE + 1, MIDDLE + 2)
"""Frames beside a sketch that must not get worse by it."""

RADIUS = 2
"""px by which lines may be off and still match."""


@dataclass(frozen=True)
class Bench:
    """Everything measuring needs but the model.

    Attributes:
        distance: perceptual distance.
        distance_name: identity of its weights.
        lines: frames (n, 3, H, W) in [0, 1] -> line drawings (n, 1, H, W), white on black.
        results: numbers of before.
        renders: frames of before.
    """

    distance: Distance
    distance_name: str
    lines: Callable[[Tensor], Tensor]
    results: Results
    renders: Renders

    @staticmethod
    def of_files(perceptual: Sequence[Path], out: Path) -> Bench:
        """With the perceptual distance of weight files and the built-in line extractor; results are kept in `out`.

        Raises:
            ValueError, OSError: a file that cannot be used.
        """
        return Bench(
            distance=load_perceptual(*perceptual),
            distance_name=" ".join(map(file_hash, perceptual)),
            lines=extract_lines,
            results=Results(out / RESULTS),
            renders=Renders(out / "renders"),
        )

    def sketch(self, window: Window) -> Tensor:
        """Line drawing (1, 1, H, W) of the true middle frame, in [0, 1]."""
        with torch.inference_mode():
            return self.lines(window.frames[MIDDLE : MIDDLE + 1]).float().clamp(0, 1)

    def drawn(self, subject: Subject, window: Window) -> Tensor:
        """The model's frames (t, 3, H, W) in [0, 1] without a sketch."""
        key = digest("drawn", subject.identity, window.identity)
        return as_float(self.renders.get(key, lambda: subject.draw(window)))

    def guided(self, subject: Subject, window: Window) -> Tensor:
        """The model's frames with the sketch of the true middle frame, from the same noise."""
        sketch = self.sketch(window)
        key = digest("guided", subject.sketch_identity, window.identity, _bytes(sketch))
        return as_float(self.renders.get(key, lambda: subject.draw(window, sketch[0].expand(3, -1, -1))))

    def in_betweens(self, subject: Subject, window: Window) -> Values:
        """Distance, PSNR (dB) and `faults` of the frames between the keyframes: the model's and the baselines'."""
        key = digest("in-betweens", VERSION, self.distance_name, subject.identity, window.identity)
        return self._values(key, subject, window, "in-betweens", lambda: self._in_betweens(subject, window))

    def reconstruction(self, subject: Subject, window: Window) -> Values:
        """PSNR (dB) of true frames through the autoencoder, with and without references; what decoding costs ours."""
        sketch = _bytes(self.sketch(window))
        key = digest("reconstruction", VERSION, self.distance_name, subject.identity, window.identity, sketch)
        return self._values(key, subject, window, "reconstruction", lambda: self._reconstruction(subject, window))

    def sketching(self, subject: Subject, window: Window) -> Values:
        """Edge match of the middle frame's lines with the sketch, and distance of the frames beside it."""
        sketch = _bytes(self.sketch(window))
        key = digest("sketch", VERSION, self.distance_name, subject.sketch_identity, window.identity, sketch)
        return self._values(key, subject, window, "sketch", lambda: self._sketching(subject, window))

    def _values(self, key: str, subject: Subject, window: Window, kind: str, make: Callable[[], Values]) -> Values:
        return self.results.get(
            key, make, kind=kind, subject=subject.identity[:12], clip=window.name, motion=round(window.motion, 2)
        )

    def _in_betweens(self, subject: Subject, window: Window) -> Values:
        true_lines = self._lines(window.frames[1:-1])
        ours = self._between("ours", self.drawn(subject, window), window, true_lines)
        return {**ours, **self._baselines(window, true_lines)}

    def _baselines(self, window: Window, true_lines: Tensor) -> Values:
        """Kept by themselves, since they are the same for all models."""
        key = digest("baselines", VERSION, self.distance_name, window.identity)

        def make() -> Values:
            values: Values = {}
            for name, frames in baselines(window).items():
                values |= self._between(name, frames, window, true_lines)
            return values

        return self.results.get(key, make, kind="baselines", clip=window.name)

    def _between(self, name: str, frames: Tensor, window: Window, true_lines: Tensor) -> Values:
        inner, truth = frames[1:-1], window.frames[1:-1]
        found = faults(frames, window.frames, self._lines(inner), true_lines)
        return {
            name: self._distance(inner, truth),
            f"{name}_psnr": psnr(inner, truth),
            **{f"{name}_{fault}": value for fault, value in found.items()},
        }

    def _reconstruction(self, subject: Subject, window: Window) -> Values:
        truth, values = window.frames, Values()
        for name, references in (("with", True), ("without", False)):
            frames = as_float(subject.reconstruct(window, references))
            values[f"{name}_psnr"] = psnr(frames[1:-1], truth[1:-1])
            values[f"{name}_psnr_all"] = psnr(frames, truth)
            values[name] = self._distance(frames[1:-1], truth[1:-1])
            values[f"{name}_f1"] = self._match(frames, self.sketch(window)).f1
        return values

    def _sketching(self, subject: Subject, window: Window) -> Values:
        sketch, truth = self.sketch(window), window.frames[list(BESIDE)]
        values: Values = {"sketch_share": float(line_mask(sketch).float().mean())}
        drawn = {"with": self.guided(subject, window), "without": self.drawn(subject, window)}
        for name, frames in {**drawn, "dissolve": baselines(window)["dissolve"]}.items():
            match = self._match(frames, sketch)
            values |= {f"{name}_{measure}": value for measure, value in match._asdict().items()}
            values[f"{name}_beside"] = self._distance(frames[list(BESIDE)], truth)
            values[f"{name}_middle"] = self._distance(frames[[MIDDLE]], window.frames[[MIDDLE]])
        return values

    def _match(self, frames: Tensor, sketch: Tensor) -> EdgeMatch:
        return edge_match(self._lines(frames[MIDDLE : MIDDLE + 1]), line_mask(sketch), RADIUS)

    def _lines(self, frames: Tensor) -> Tensor:
        """Masks (n, 1, H, W) of the lines of frames (n, 3, H, W)."""
        with torch.inference_mode():
            return line_mask(self.lines(frames))

    def _distance(self, frames: Tensor, truth: Tensor) -> float:
        return float(perceptual_distances(self.distance, frames, truth).mean())


def baselines(window: Window) -> dict[str, Tensor]:
    """What needs no model: a cross-dissolve, and the nearest keyframe."""
    first, last, count = window.frames[0], window.frames[-1], len(window.frames)
    return {"dissolve": cross_dissolve(first, last, count), "nearest": nearest_keyframe(first, last, count)}


def _bytes(drawing: Tensor) -> bytes:
    """To tell drawings apart: the rounding makes it the same on every machine."""
    return (drawing * 255).round().byte().numpy().tobytes()
