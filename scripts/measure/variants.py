"""The paper's Tables 3 and 4 in miniature: what `scripts/train/variants.sh` trained, on clips no training has seen.

    bash scripts/train/variants.sh
    .venv/bin/python scripts/measure/variants.py --out variants --only decoder

Rectification (I to V) is measured by its in-betweens of characters, decoded by the model it started from; decoders
(without anything, with references, with temporal layers, with both) by drawn scenes that are encoded and decoded.
Broken off and started again, it goes on. It prints a table of each, and writes a picture of each under `--out`: a
strip of frames for each variant.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor

from tooncrafter_core import Settings
from tooncrafter_core.evaluation.command import count, exit_status
from tooncrafter_core.evaluation.report.measures import Bench
from tooncrafter_core.evaluation.report.sheets import Block, write_sheets
from tooncrafter_core.evaluation.report.store import Values
from tooncrafter_core.evaluation.report.subject import TinyModel, file_hash
from tooncrafter_core.evaluation.report.summary import standard_error, table
from tooncrafter_core.evaluation.report.windows import Window, as_float, drawer, held_out_windows

CACHE = Path("~/.cache").expanduser()
SETTINGS = Settings(width=128, height=64, steps=4, guidance_scale=1.0, clean_end=True, two_pass=False)
RECTIFICATIONS = {"I": "nothing", "II": "all layers", "III": "spatial layers and projector, temporal layers bypassed"}
RECTIFICATIONS |= {"IV": "the same, temporal layers run but frozen: the method", "V": "the projector"}
DECODERS = {"none": "an image decoder", "references": "references", "temporal": "temporal layers"}
DECODERS |= {"both": "references and temporal layers: the method"}
DOMAINS = {"rectification": "toon", "decoder": "drawn"}
"""Of the clips that a table is measured on."""
REFERRED = ("references", "both")
SEED = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--run", type=Path, default=CACHE / "tooncrafter-training" / "variants", help="what was trained (%(default)s)")
    add("--set", type=Path, default=CACHE / "tooncrafter-data" / "set", help="the data set (%(default)s)")
    add("--out", type=Path, required=True, help="folder for everything that is written")
    add("--only", choices=["rectification", "decoder"], help="one of the two tables")
    add("--clips", type=count, default=64, help="held-out clips (default %(default)s)")
    options = parser.parse_args()
    return exit_status(lambda: measure(options))


def measure(options: argparse.Namespace) -> str:
    """Both tables, or one of them.

    Raises:
        OSError, ValueError: a file that is not there or cannot be used, or a domain of which no clip can be read.
    """
    torch.set_num_threads(1)
    tables = {"rectification": _rectifications, "decoder": _decoders}
    chosen = [options.only] if options.only else list(tables)
    for name in chosen:
        for file in _files(name, options).values():
            file_hash(file)  # one that is not there is told before anything runs
    windows = {name: _windows(DOMAINS[name], options) for name in chosen}
    bench = Bench.of_files([options.set / "perceptual" / "alex_shift_tolerant.pth"], options.out)
    return "\n".join(tables[name](options, windows[name], bench) for name in chosen)


def _files(table: str, options: argparse.Namespace) -> dict[str, Path]:
    """The weights of each variant of a table."""
    variants = RECTIFICATIONS if table == "rectification" else DECODERS
    files = {name: options.run / f"{table}_{name}" / "model.safetensors" for name in variants}
    return files | ({"I": _start(options)} if table == "rectification" else {})


def _start(options: argparse.Namespace) -> Path:
    """What the rectifications started from."""
    return Path(options.run) / "start.safetensors"


def _rectifications(options: argparse.Namespace, windows: Sequence[Window], bench: Bench) -> str:
    models = _models(_files("rectification", options), _start(options))
    rows = {name: [bench.in_betweens(model, window) for window in windows] for name, model in models.items()}
    strips = {name: bench.drawn(model, windows[0]) for name, model in models.items()}
    _write_strips(options.out, "rectification", windows[0], strips)
    return _table("trains", RECTIFICATIONS, {name: ("ours", found) for name, found in rows.items()})


def _decoders(options: argparse.Namespace, windows: Sequence[Window], bench: Bench) -> str:
    models = _models(_files("decoder", options), None)
    found = {name: [bench.reconstruction(model, window) for window in windows] for name, model in models.items()}
    strips = {name: as_float(model.reconstruct(windows[0], name in REFERRED)) for name, model in models.items()}
    _write_strips(options.out, "decoder", windows[0], strips)
    return _table("has", DECODERS, {name: ("with" if name in REFERRED else "without", found[name]) for name in found})


def _models(files: Mapping[str, Path], decodes: Path | None) -> dict[str, TinyModel]:
    return {name: TinyModel(file, None, SETTINGS, autoencoder_path=decodes) for name, file in files.items()}


def _windows(domain: str, options: argparse.Namespace) -> list[Window]:
    draw = drawer(SETTINGS.width, SETTINGS.height, 1)
    return held_out_windows(options.set / "manifest.jsonl", domain, options.clips, draw, SEED)[0]


def _write_strips(folder: Path, name: str, window: Window, strips: Mapping[str, Tensor]) -> None:
    write_sheets(folder, name, [Block(window.name, {"truth": window.frames, **strips})])


def _table(what: str, variants: Mapping[str, str], rows: Mapping[str, tuple[str, Sequence[Values]]]) -> str:
    """Perceptual distance and PSNR, with standard errors; `rows`: by variant, the numbers' key and
    those of each clip."""
    lines = []
    for name, (key, found) in rows.items():
        distances, decibels = ([row[measure] for row in found] for measure in (key, f"{key}_psnr"))
        lines.append([name, variants[name], _mean(distances, 4), _mean(decibels, 2)])
    return table(["variant", what, "distance", "PSNR, dB"], lines) + "\n"


def _mean(values: Sequence[float], digits: int) -> str:
    return f"{fmean(values):.{digits}f} ± {standard_error(values) or 0.0:.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
