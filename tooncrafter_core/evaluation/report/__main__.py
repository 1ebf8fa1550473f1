"""Measure a trained model on held-out clips: as JSON, as tables and as pictures.

    .venv/bin/python -m tooncrafter_core.evaluation.report --model model.safetensors \
        --sketch-encoder sketch.safetensors \
        --data ~/.cache/tooncrafter-data/set/manifest.jsonl \
        --perceptual ~/.cache/tooncrafter-data/set/perceptual/alex_shift_tolerant.pth --out report

Writes `report.json`, `report.md` and `sheets/`. What was measured is kept in `results.jsonl` and `renders/`, by model,
settings and clip: started again, the report goes on where it stopped. Which clips are measured, and which count as
large motion, does not depend on any result.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ...files.images import fit_images
from ...files.media import read_image
from ...files.whole import check_result, written_whole
from ...inputs import given_path
from ...models.config import PIXELS_PER_LATENT
from ...settings import Settings
from ...training.clips.manifest import DOMAINS
from ...training.run.low_rank import read_lora
from ..command import count, exit_status, named_path, threads
from ..metrics import LINE_THRESHOLD
from . import cost, summary
from .groups import Group, Measured, measure
from .measures import Bench, baselines
from .sheets import SHEETS, Block, check_sheets, write_sheets
from .store import RESULTS, holds_results
from .subject import Subject, TinyModel, file_hash, picture_window
from .windows import drawer, held_out_windows

REPORT, TABLE = "report.json", "report.md"
"""In the output folder."""
PARTS = ("between", "reconstruction", "sketch", "variants", "cost", "keyframes")
ENOUGH = 64
"""Clips the bars are meant for."""

KEYFRAME_RATE = 12
"""Frames per second the model is told for pictures that are not from a clip."""

_UNTOLD = ("prompt", "negative_prompt", "width", "height", "fit", "loop", "frames", "frame_rate", "seed")
"""Settings that are each clip's own, or told with the clips."""

_log = logging.getLogger("report")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the report; returns the exit status. A user's mistake is one line on standard error and status 2."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(options.threads)
    return exit_status(lambda: f"{summary.bar_table(_run(options)['bars'])}\n{options.out / TABLE}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=given_path, required=True, help="a complete checkpoint")
    add("--sketch-encoder", type=given_path, help="its sketch encoder; without it, sketches are not measured")
    add("--lora", type=given_path, help="LoRA of the training distil, merged into the model")
    add("--data", type=given_path, required=True, help="manifest of the clips")
    add("--perceptual", type=given_path, nargs="+", required=True, help="weights of the perceptual distance")
    add("--out", type=given_path, required=True, help="folder for everything that is written")
    add("--clips", type=count, default=ENOUGH, help="held-out clips of each domain (default %(default)s)")
    add("--domain", nargs="+", choices=DOMAINS, default=["toon"], help="each is reported by itself (default toon)")
    add("--variants", nargs="+", default=[], metavar="NAME=FILE", help="rectification variants; --model decodes them")
    add("--keyframes", type=given_path, help="folder of *_first.png and *_last.png to look at")
    add("--only", nargs="+", choices=PARTS, default=list(PARTS), help="leave the other parts out")
    add("--width", type=int, default=128, help="pixels (default %(default)s)")
    add("--height", type=int, default=64, help="pixels (default %(default)s)")
    add("--stride", type=count, default=1, help="frames of the clip from one frame to the next (default %(default)s)")
    add("--steps", type=int, default=20, help="sampling steps (default %(default)s)")
    add("--guidance", type=float, default=2.0, help="guidance scale (default %(default)s)")
    add("--guidance-rescale", type=float, default=Settings.guidance_rescale, help="see README (default %(default)s)")
    add("--guidance-from", type=float, default=Settings.guidance_from, help="see README (default %(default)s)")
    add("--guidance-to", type=float, default=Settings.guidance_to, help="see README (default %(default)s)")
    add("--eta", type=float, default=Settings.eta, help="see README (default %(default)s)")
    add("--clean-end", action=argparse.BooleanOptionalAction, default=Settings.clean_end, help="see README")
    add("--sketch-strength", type=float, default=Settings.sketch_strength, help="see README (default %(default)s)")
    add("--two-pass", action=argparse.BooleanOptionalAction, default=Settings.two_pass, help="see README")
    add("--seed", type=int, default=0, help="of the choice of clips and of the noise (default %(default)s)")
    add("--threads", type=threads, default=2, help="CPU threads (default %(default)s)")
    add("--device", default="cpu", help="where the models run (default %(default)s)")
    return parser


def _run(options: argparse.Namespace) -> dict[str, Any]:
    _check_size(options.width, options.height)
    settings = Settings(
        width=options.width,
        height=options.height,
        steps=options.steps,
        guidance_scale=options.guidance,
        guidance_rescale=options.guidance_rescale,
        guidance_from=options.guidance_from,
        guidance_to=options.guidance_to,
        eta=options.eta,
        clean_end=options.clean_end,
        sketch_strength=options.sketch_strength,
        two_pass=options.two_pass,
    )
    variants = _variants(options)
    subject = TinyModel(options.model, options.sketch_encoder, settings, options.device, lora_path=options.lora)
    for file in (options.model, *filter(None, [options.sketch_encoder, options.lora]), *variants.values()):
        file_hash(file)  # a file that is not there is told before anything runs
    if options.lora:
        read_lora(options.lora)  # likewise one that is none
    parts = _parts(options)
    pairs = _pairs(options.keyframes) if "keyframes" in parts else {}
    ours = holds_results(options.out)
    for name in (REPORT, TABLE):
        check_result(options.out / name, ours, RESULTS)
    check_sheets(options.out / SHEETS)
    bench = Bench.of_files(options.perceptual, options.out)
    groups = [_group(options, domain) for domain in options.domain]
    others = {name: TinyModel(file, None, settings, options.device, options.model) for name, file in variants.items()}
    measured = measure(bench, subject, groups, others, parts, options.out / SHEETS)
    spent = _cost(options, settings) if "cost" in parts else None
    if pairs:
        _keyframe_sheets(bench, subject, pairs, options)
    report = assemble(_about(options, settings), groups, measured, spent)
    _write(options.out / REPORT, json.dumps(report, indent=2) + "\n")
    _write(options.out / TABLE, summary.markdown(report))
    return report


def _parts(options: argparse.Namespace) -> list[str]:
    """The parts whose files are named.

    Raises:
        ValueError: none is left.
    """
    files = {"sketch": "sketch_encoder", "variants": "variants", "keyframes": "keyframes"}
    parts = [part for part in options.only if part not in files or getattr(options, files[part])]
    if not parts:
        needed = ", ".join(f"--{files[part].replace('_', '-')}" for part in options.only)
        raise ValueError(f"--only {' '.join(options.only)} leaves nothing to measure without {needed}; name that too")
    return parts


def _check_size(width: int, height: int) -> None:
    """Raise ValueError unless frames of this size can be encoded as they are."""
    for name, value in (("width", width), ("height", height)):
        if value < PIXELS_PER_LATENT or value % PIXELS_PER_LATENT:
            raise ValueError(f"{name} is {value}; expected a multiple of {PIXELS_PER_LATENT}")


def _variants(options: argparse.Namespace) -> dict[str, Path]:
    """Name -> file, from NAME=FILE arguments.

    Raises:
        ValueError: an argument of another form, or a name that comes twice.
    """
    pairs: dict[str, Path] = {}
    for item in options.variants if "variants" in options.only else []:
        name, file = named_path(item, "NAME=FILE such as IV=runs/iv/model.safetensors", "--variants")
        if name in pairs:
            raise ValueError(f"two --variants are called {name}; give each a name of its own")
        pairs[name] = file
    return pairs


def _group(options: argparse.Namespace, domain: str) -> Group:
    draw = drawer(options.width, options.height, options.stride)
    windows, skipped = held_out_windows(options.data, domain, options.clips, draw, options.seed)
    _log.info("%s: %d clips, %d skipped", domain, len(windows), skipped)
    if len(windows) < ENOUGH:
        _log.warning("%d clips are fewer than the %d the bars are meant for", len(windows), ENOUGH)
    return Group(domain, windows, skipped)


def _keyframe_sheets(
    bench: Bench, subject: Subject, pairs: Mapping[str, Sequence[Path]], options: argparse.Namespace
) -> None:
    """Sheets of pairs of pictures that are not from the data."""
    blocks = []
    for name, pictures in pairs.items():
        first, last = (
            fit_images(read_image(path)[None], options.width, options.height, "crop")[0] for path in pictures
        )
        window = picture_window(name, first, last, KEYFRAME_RATE, options.seed)
        blocks.append(Block(window.name, {"ours": bench.drawn(subject, window), **baselines(window)}))
        _log.info("keyframes %s", window.name)
    write_sheets(options.out / "sheets", "keyframes", blocks)


def _pairs(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Name -> first and last picture.

    Raises:
        ValueError: there are none.
    """
    found = {first.name.removesuffix("_first.png"): first for first in sorted(folder.glob("*_first.png"))}
    pairs = {name: (first, folder / f"{name}_last.png") for name, first in found.items()}
    pairs = {name: pair for name, pair in pairs.items() if pair[1].exists()}
    if not pairs:
        raise ValueError(f"{folder} has no pairs NAME_first.png and NAME_last.png; name another with --keyframes")
    return pairs


def _cost(options: argparse.Namespace, settings: Settings) -> dict[str, float]:
    """At the bar's 20 steps with guidance, whatever the pictures are made with."""
    _log.info("measuring time and memory in a process of its own")
    guidance = settings.guidance_scale if settings.guidance_scale != 1 else 2.0
    settings = replace(settings, steps=20, guidance_scale=guidance)
    return cost.measure(options.model, asdict(settings))


def _about(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    told = {name: value for name, value in asdict(settings).items() if name not in _UNTOLD}
    return {
        "model": _file(options.model),
        "sketch_encoder": _file(options.sketch_encoder) if options.sketch_encoder else None,
        "lora": _file(options.lora) if options.lora else None,
        "perceptual": ", ".join(path.name for path in options.perceptual),
        "settings": told,
        "width": options.width,
        "height": options.height,
        "stride": options.stride,
        "seed": options.seed,
        "line_threshold": LINE_THRESHOLD,
    }


def _file(path: Path) -> dict[str, str]:
    return {"file": path.name, "sha256": file_hash(path)}


def assemble(
    about: Mapping[str, Any], groups: Sequence[Group], measured: Measured, spent: Mapping[str, float] | None
) -> dict[str, Any]:
    """The report: what was run, the summaries, and the bars (those of clips for the first group)."""
    written: dict[str, Any] = {}
    for group in groups:
        found = measured["groups"][group.domain]
        written[group.domain] = {
            "clips": len(group.windows),
            "sources": len({window.source for window in group.windows}),
            "skipped": group.skipped,
            **found,
            "bars": summary.as_json(summary.bars(found, None, {})),
        }
    first = measured["groups"][groups[0].domain]
    return {
        **about,
        "groups": written,
        "variants": measured["variants"],
        "cost": spent,
        "bars": summary.as_json(summary.bars(first, spent, measured["variants"])),
    }


def _write(path: Path, text: str) -> None:
    """The file appears complete or not at all."""
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
