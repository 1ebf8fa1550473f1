"""Measure segments of several lengths on drawn scenes: is the figure on its path, and how far is every frame from the
true one?

    .venv/bin/python -m tooncrafter_core.evaluation.length --out lengths \
        --model assets/tooncrafter-tiny/tooncrafter-tiny.safetensors \
        --perceptual ~/.cache/tooncrafter-data/set/perceptual/alex_shift_tolerant.pth

Writes `lengths.md` and one picture for each scene and length, in `sheets/`. What was measured is kept in
`results.jsonl` and `renders/`, by model, settings, scene and length: started again, it goes on where it stopped, and
more scenes or lengths add to what is there.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, median

import torch
from torch import Tensor

from ..data.drawn_scenes import Scene
from ..files.media import write_contact_sheet
from ..files.whole import check_result, written_whole
from ..inputs import given_path
from ..models.config import LATENT_SCALE
from ..pipeline import interpolate, sampling_runs
from ..settings import VERSION, Settings
from ..stages.autoencoding import decode_segments, encode_keyframes
from ..timeline import parse_frames
from ..toon_crafter import ToonCrafter
from ..training.losses.perceptual import load_perceptual
from .command import count, exit_status, threads
from .metrics import Distance
from .report.sheets import SHEETS, check_sheets
from .report.store import RESULTS, Renders, Results, Values, holds_results
from .report.subject import file_hash
from .report.windows import as_bytes, as_float, digest
from .scenes import SIZE, is_at, picture, scenes

TABLE = "lengths.md"
"""In the output folder."""
EVERY = 10
"""The figure is looked for in every tenth frame."""

LEAST = 3
"""Frames of which one can be measured."""

SHOWN = 16
"""Frames on a sheet."""

_log = logging.getLogger("length")


@dataclass(frozen=True)
class Subject:
    """A model, how it draws, and what its frames are measured by.

    Attributes:
        model: the models.
        name: of the model's and the distance's files.
        settings: steps, guidance, seed; `frames` is each length's own.
        distance: perceptual.
        out: folder for everything that is written.
        ceiling: true frames are encoded and decoded instead: what a denoiser without a fault would come to.
    """

    model: ToonCrafter
    name: str
    settings: Settings
    distance: Distance
    out: Path
    ceiling: bool

    def measure(self, results: Results, renders: Renders, number: int, scene: Scene, frames: int) -> Values:
        """The numbers of one scene at one length: `mean` and `worst` distance of the frames between the keyframes, in
        which frame (`at`) that is, and in how many of the frames looked at (`looked`) the figure is on its path."""
        key = digest("length", VERSION, self.name, asdict(self.settings), asdict(scene), frames, self.ceiling)

        def make() -> Values:
            draw = self._encoded_and_decoded if self.ceiling else self._draw
            drawn = as_float(renders.get(key, lambda: as_bytes(draw(scene, frames))))
            chosen = torch.linspace(0, frames - 1, min(SHOWN, frames)).round().long()
            write_contact_sheet(drawn[chosen], self.out / SHEETS / f"{number:02}_{frames}.png", columns=SHOWN)
            return self._values(scene, drawn)

        return results.get(key, make, scene=number, frames=frames)

    def _draw(self, scene: Scene, frames: int) -> Tensor:
        keyframes = [picture(scene, 0), picture(scene, 1)]
        return interpolate(self.model, keyframes, replace(self.settings, frames=frames))

    @torch.inference_mode()
    def _encoded_and_decoded(self, scene: Scene, frames: int) -> Tensor:
        moments = torch.linspace(0, 1, frames).tolist()
        truth = {frame: picture(scene, moment)[None] for frame, moment in enumerate(moments)}
        encoded = encode_keyframes(self.model, truth)
        latents = torch.cat([each.latents for each in encoded.values()]) * LATENT_SCALE
        ends = {0: encoded[0], 1: encoded[frames - 1]}
        return decode_segments(self.model, {0: latents}, ends, len(ends), self.settings.two_pass)[0].transpose(0, 1)

    def _values(self, scene: Scene, drawn: Tensor) -> Values:
        moments = torch.linspace(0, 1, len(drawn)).tolist()
        distances = [
            self.distance(frame[None] * 2 - 1, picture(scene, moment)[None] * 2 - 1).item()
            for frame, moment in zip(drawn[1:-1], moments[1:-1], strict=True)
        ]
        looked = range(0, len(drawn), EVERY)
        return {
            "mean": fmean(distances),
            "worst": max(distances),
            "at": distances.index(max(distances)) + 1,
            "on_path": sum(is_at(scene, drawn[frame], moments[frame]) for frame in looked),
            "looked": len(looked),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status. A user's mistake is one line on standard error and status 2."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(options.threads)
    return exit_status(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=given_path, required=True, help="a complete checkpoint")
    add("--perceptual", type=given_path, nargs="+", required=True, help="weights of the perceptual distance")
    add("--out", type=given_path, required=True, help="folder for everything that is written")
    add("--frames", type=count, nargs="+", default=[16, 24, 31, 46, 64], help="lengths (default %(default)s)")
    add("--scenes", type=count, default=16, help="how many drawn scenes (default %(default)s)")
    add("--fps", type=int, default=24, help="frames per second the model is told (default %(default)s)")
    add("--steps", type=count, default=4, help="sampling steps (default %(default)s)")
    add("--guidance", type=float, default=1.0, help="guidance scale (default %(default)s)")
    add("--clean-end", action="store_true", help="of the sampler; coarse runs end clean anyway")
    add("--ceiling", action="store_true", help="true frames, encoded and decoded, in the place of drawn ones")
    add("--seed", type=int, default=0, help="of scenes and noise (default %(default)s)")
    add("--threads", type=threads, default=1, help="CPU threads (default %(default)s)")
    return parser


def _run(options: argparse.Namespace) -> str:
    """Write the table: one row for each length."""
    check_result(options.out / TABLE, holds_results(options.out), RESULTS)
    check_sheets(options.out / SHEETS)
    for frames in options.frames:
        if min(parse_frames(frames, "--frames")) < LEAST:
            raise ValueError(f"--frames is {frames}; expected {LEAST} or more, of which one is between the keyframes")
    subject = Subject(
        model=ToonCrafter.load(options.model, dtype=torch.float32),
        name=" ".join(map(file_hash, [options.model, *options.perceptual])),
        settings=Settings(
            width=SIZE[0],
            height=SIZE[1],
            steps=options.steps,
            guidance_scale=options.guidance,
            frame_rate=options.fps,
            clean_end=options.clean_end,
            seed=options.seed,
            two_pass=False,
        ),
        distance=load_perceptual(*options.perceptual),
        out=options.out,
        ceiling=options.ceiling,
    )
    results, renders = Results(options.out / RESULTS), Renders(options.out / "renders")
    measured: dict[int, list[Values]] = {frames: [] for frames in options.frames}
    for number, scene in enumerate(scenes(options.scenes, options.seed)):
        for frames, rows in measured.items():
            rows.append(subject.measure(results, renders, number, scene, frames))
            _log.info("scene %d, %d frames: %s", number, frames, rows[-1])
    runs = {frames: sampling_runs(subject.model, [frames]) for frames in measured}
    table = _table(measured, runs)
    with written_whole(options.out / TABLE) as unfinished:
        unfinished.write_text(table, encoding="utf-8")
    return table


def _table(measured: dict[int, list[Values]], runs: dict[int, int]) -> str:
    """The last two columns compare a scene's worst frame with the mean of the same scene at the first length."""
    lines = ["| frames | runs | figure on its path | mean distance | worst frame / mean at first | scenes above 2 |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    means = [row["mean"] for row in next(iter(measured.values()))]
    for frames, rows in measured.items():
        on_path, looked = (int(sum(row[name] for row in rows)) for name in ("on_path", "looked"))
        ratios = [row["worst"] / mean for row, mean in zip(rows, means, strict=True)]
        above = f"{sum(ratio > 2 for ratio in ratios)} of {len(ratios)}"
        mean, typical = fmean(row["mean"] for row in rows), median(ratios)
        lines.append(
            f"| {frames} | {runs[frames]} | {on_path} of {looked} | {mean:.4f} | median {typical:.1f}, "
            f"largest {max(ratios):.1f} | {above} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
