"""Print where a model loses: in its autoencoder, its decoder, its denoiser, or in all of them together.

    .venv/bin/python -m tooncrafter_core.evaluation.ladder model.safetensors --domain drawn lines --clips 16

Means over held-out clips of the data set, the same ones that `tooncrafter_core.evaluation.report` takes.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ..data.clip_format import HEIGHT, WIDTH
from ..inputs import given_path
from ..settings import Settings
from ..training.clips.manifest import DOMAINS, read_manifest
from .command import count, exit_status
from .report.ladder import Rungs, markdown
from .report.measures import Bench
from .report.subject import TinyModel
from .report.windows import drawer, in_order, take_windows

SET = Path("~/.cache/tooncrafter-data/set").expanduser()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables. A user's mistake is one line on standard error and status 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=given_path, help="a complete checkpoint with the dual-reference decoder")
    parser.add_argument("--data", type=given_path, default=SET / "manifest.jsonl", help="manifest of the clips")
    parser.add_argument("--perceptual", type=given_path, default=SET / "perceptual" / "alex_shift_tolerant.pth")
    parser.add_argument("--domain", nargs="+", choices=DOMAINS, default=["drawn"])
    parser.add_argument("--clips", type=count, default=16, help="held-out clips of each domain (default %(default)s)")
    parser.add_argument("--steps", type=count, default=4, help="sampling steps (default %(default)s)")
    parser.add_argument("--out", type=given_path, default=Path("ladder"), help="folder where frames are kept")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return exit_status(lambda: ladder(options) + "\n")


def ladder(options: argparse.Namespace) -> str:
    """Both tables, as Markdown."""
    settings = Settings(steps=options.steps, guidance_scale=1.0, clean_end=True)
    subject = TinyModel(options.model, None, settings)
    bench = Bench.of_files([options.perceptual], options.out)
    rungs, folder, clips = Rungs(bench, subject), options.data.parent, read_manifest(options.data)
    draw = drawer(WIDTH, HEIGHT, 1)
    windows = {
        domain: take_windows(in_order(clips, domain, 0, folder), options.clips, draw, folder, 0)[0]
        for domain in options.domain
    }
    return markdown({domain: [rungs.values(window) for window in chosen] for domain, chosen in windows.items()})


if __name__ == "__main__":
    sys.exit(main())
