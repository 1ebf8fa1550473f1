"""Write held-out clips of the data set as folders of true frames, for `tooncrafter_core.evaluation`.

    .venv/bin/python -m tooncrafter_core.evaluation.held_out --out truth --clips 16

The clips are the same ones that `tooncrafter_core.evaluation.report` takes.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ..data.clip_format import HEIGHT, WIDTH
from ..files.media import write_frames
from ..files.whole import written_whole
from ..inputs import given_path
from ..training.clips.manifest import DOMAINS, Clip, read_manifest
from .clips import ABOUT
from .command import count, exit_status
from .report.windows import drawer, in_order, take_windows

MANIFEST = Path("~/.cache/tooncrafter-data/set/manifest.jsonl").expanduser()

_log = logging.getLogger("held_out")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write them; returns the exit status. A user's mistake is one line on standard error and status 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=given_path, default=MANIFEST, help="manifest of the clips (default %(default)s)")
    parser.add_argument("--out", type=given_path, required=True, help="folder, new or of an earlier run")
    parser.add_argument("--clips", type=count, default=16, help="of each domain (default %(default)s)")
    parser.add_argument("--domain", nargs="+", choices=DOMAINS, help="default: all that have held-out clips")
    parser.add_argument("--seed", type=int, default=0, help="of the choice (default %(default)s)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return exit_status(lambda: _write(options))


def _write(options: argparse.Namespace) -> str:
    """Write the clips; the path of what is said about them."""
    clips, folder = read_manifest(options.data), options.data.parent
    about: dict[str, dict[str, object]] = {}
    for domain in options.domain or _held_out(clips):
        chosen = in_order(clips, domain, options.seed, folder)
        windows, skipped = take_windows(chosen, options.clips, drawer(WIDTH, HEIGHT, 1), folder, options.seed)
        for number, window in enumerate(windows):
            name = f"{domain}-{number:02}"
            write_frames(window.frames, options.out / name, window.fps)
            about[name] = {"group": domain, "fps": window.fps, "prompt": window.caption}
        _log.info("%s: %d clips, %d skipped", domain, len(windows), skipped)
    with written_whole(options.out / ABOUT) as unfinished:
        unfinished.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return f"{options.out / ABOUT}\n"


def _held_out(clips: Sequence[Clip]) -> list[str]:
    """Domains that have held-out clips.

    Raises:
        ValueError: none has.
    """
    found = {clip.domain for clip in clips if clip.split == "held_out"}
    if not found:
        raise ValueError("the manifest has no held-out clips; build the data set, or give another --data")
    return [domain for domain in DOMAINS if domain in found]


if __name__ == "__main__":
    sys.exit(main())
