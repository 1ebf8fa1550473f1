"""Which measures are taken, and with which files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...files.media import read_image
from ..clips import Clip, size
from .clip_similarity import ClipTowers, image_measure, text_measure
from .measure import Measure
from .pictures import line_measure, perceptual_measure, psnr_measure, ssim_measure
from .sharpness import BLOCK, PACKAGE, has_cpbd, sharpness_measure
from .warping import warping_measure

_PLAIN: dict[str, Callable[[], Measure]] = {
    "psnr": psnr_measure,
    "ssim": ssim_measure,
    "lines": line_measure,
    "warping": warping_measure,
    "cpbd": sharpness_measure,
}
_CLIP: dict[str, Callable[[ClipTowers], Measure]] = {"clip-image": image_measure, "clip-text": text_measure}
NAMES = ("psnr", "ssim", "lpips", "lines", "warping", "cpbd", *_CLIP)


@dataclass(frozen=True)
class Weights:
    """Files of weights that the user has.

    Attributes:
        perceptual: of LPIPS; none where it is not measured.
        clip: a complete checkpoint with CLIP's towers.
    """

    perceptual: Sequence[Path] = ()
    clip: Path | None = None


def choose(names: Sequence[str] | None, weights: Weights, clips: Sequence[Clip]) -> list[Measure]:
    """The measures of these names, in the order of `NAMES`; without names all that lack nothing.

    Raises:
        ValueError: one lacks its weights, a package, a clip's prompt or pixels; or a weight file cannot be used.
    """
    available = [name for name in NAMES if _lacking(name, weights) is None]
    wanted = [name for name in NAMES if name in (available if names is None else names)]
    for name in wanted:
        if lacking := _lacking(name, weights):
            raise ValueError(f"the measure {name} needs {lacking}, or leave {name} out")
    if "clip-text" in wanted and (silent := [clip.name for clip in clips if not clip.prompt]):
        raise ValueError(
            f"the measure clip-text needs a prompt for every clip, and {silent[0]} has none; give it in clips.json, or "
            "choose with --measures"
        )
    if "cpbd" in wanted:
        _check_blocks(clips)
    towers = ClipTowers(weights.clip) if weights.clip and _CLIP.keys() & set(wanted) else None
    return [_make(name, weights, towers) for name in wanted]


def _make(name: str, weights: Weights, towers: ClipTowers | None) -> Measure:
    if name == "lpips":
        return perceptual_measure(*weights.perceptual)
    return _CLIP[name](towers) if towers and name in _CLIP else _PLAIN[name]()


def _check_blocks(clips: Sequence[Clip]) -> None:
    for clip in clips:
        first = read_image(clip.files[0])
        if min(first.shape[1:]) < BLOCK:
            raise ValueError(
                f"the measure cpbd looks at blocks of {BLOCK} pixels, and {clip.name} is {size(first)}; choose others "
                "with --measures"
            )


def _lacking(name: str, weights: Weights) -> str | None:
    """What this measure lacks, and what to do; None where it has all."""
    if name == "lpips" and not weights.perceptual:
        return "a file of weights; name it with --perceptual"
    if name in _CLIP and weights.clip is None:
        return "a file of weights; name it with --clip"
    return f"a package; pip install {PACKAGE}" if name == "cpbd" and not has_cpbd() else None
