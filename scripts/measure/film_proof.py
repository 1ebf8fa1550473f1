"""Big Buck Bunny at every 16th frame: keyframes in, film out, with the small model at its size, and evaluated.

    python scripts/measure/film_proof.py --film ~/.cache/tooncrafter-data/downloads/unpacked/bbb.mp4 --out proof

(c) 2008 Blender Foundation, www.bigbuckbunny.org, CC-BY 3.0; `python -m tooncrafter_core.data.build` downloads it. Of
each shot of 17 frames or more every 16th frame is a keyframe, 2:1 from the middle of the picture, at 128 x 64 pixels.
`batch` draws what is between them; `film.mp4` is all shots one after another. Each 17 frames from keyframe to keyframe
are then a clip for `tooncrafter_core.evaluation`. Broken off and started again, it goes on where it stopped; with
`--shots 8` and then without, it draws what the eight lack.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import av
import torch
from PIL import Image, ImageOps

from tooncrafter_core.batch.results.store import Results
from tooncrafter_core.data.clip_format import HEIGHT, WIDTH
from tooncrafter_core.data.film_cuts import Shot, read_shots, shot_frames
from tooncrafter_core.data.prepare.film import Film, open_film
from tooncrafter_core.evaluation.command import count, exit_status
from tooncrafter_core.files.images import to_tensor
from tooncrafter_core.files.media import read_image, write_frames
from tooncrafter_core.files.whole import folder_written_whole, written_whole
from tooncrafter_core.toon_crafter import DTYPES

ROOT = Path(__file__).resolve().parents[2]

MODEL = ROOT / "assets" / "tooncrafter-tiny" / "tooncrafter-tiny.safetensors"
EVERY = 16
RATE = 24
GOLDEN_RATIO = (5**0.5 - 1) / 2
BEGIN = 29
"""The shot that is drawn where only one is: a short one."""
GROUPS = {"train": "shots that it was trained on", "held_out": "held-out shots"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--film", type=Path, required=True, help="the film, 14,315 frames")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="everything goes there")
    parser.add_argument("--shots", type=count, help="only so many, from all parts of the film")
    parser.add_argument("--steps", type=count, default=4, help="sampling steps (default %(default)s)")
    parser.add_argument("--workers", type=count, default=1, help="of batch, one thread each (default %(default)s)")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of batch (default %(default)s)")
    options = parser.parse_args()
    return exit_status(lambda: draw(options))


def draw(options: argparse.Namespace) -> None:
    """Everything, from the film to the table."""
    out: Path = options.out.absolute()
    shots = spread([shot for shot in read_shots()[0] if shot.end - shot.first > EVERY], options.shots)
    _cut(open_film(options.film), shots, out)
    _run("shots", out / "keys", "-o", out / "shots.jsonl")
    size = ("--width", WIDTH, "--height", HEIGHT, "--frame-rate", RATE)
    sampling = ("--steps", options.steps, "--guidance-scale", 1, "--clean-end", "--dtype", options.dtype)
    workers = ("--workers", options.workers, "--threads", 1)
    _run("batch", out / "shots.jsonl", "--out", out / "drawn", "-c", MODEL, *size, *sampling, *workers)
    results = Results(out / "drawn")
    _join([results.frames(name(shot)) for shot in shots], out / "film.mp4")
    groups = {clip(shot, first): {"group": GROUPS[shot.split]} for shot in shots for first in starts(shot)}
    (out / "truth" / "clips.json").write_text(json.dumps(groups, indent=1) + "\n")
    for shot in shots:
        _divide(results.frames(name(shot)), shot, out / "clips")
    evaluation = ("--truth", out / "truth", "--table", out / "table", "--builtin", "dissolve", "nearest", "flow")
    _run(".evaluation", f"{MODEL.stem}={out / 'clips'}", *evaluation)


def name(shot: Shot) -> str:
    return f"shot{shot.number:03}"


def starts(shot: Shot) -> range:
    """Keyframes at which a segment begins."""
    return range(shot.first, shot.end - EVERY, EVERY)


def clip(shot: Shot, first: int) -> str:
    """The name of 17 frames from a keyframe to the next."""
    return f"{name(shot)}-{first:05}"


def spread(shots: Sequence[Shot], count: int | None) -> list[Shot]:
    """So many of the shots, evenly from all parts of the film: those of a smaller number, and others between them."""
    chosen = sorted(shots, key=lambda shot: (shot.number - BEGIN) * GOLDEN_RATIO % 1)[:count]
    return sorted(chosen, key=lambda shot: shot.number)


def _cut(film: Film, shots: Sequence[Shot], out: Path) -> None:
    """Keyframes of every shot, and the true frames from one to the next; a shot's keyframes are there when all are."""
    if other := _names(out / "keys") - {name(shot) for shot in shots}:
        raise SystemExit(f"{out} has {len(other)} other shots; name another folder, or at least as many --shots")
    for shot in shots:
        if not (out / "keys" / name(shot)).exists():
            with folder_written_whole(out / "keys" / name(shot)) as keys:
                _cut_shot(film, shot, out / "truth", keys)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("shot*")}


def _cut_shot(film: Film, shot: Shot, truth: Path, keys: Path) -> None:
    frames = torch.stack(
        [to_tensor(ImageOps.fit(frame.to_image(), (WIDTH, HEIGHT))) for frame in shot_frames(film, shot)]
    )
    for first in starts(shot):
        folder = truth / clip(shot, first)
        write_frames(frames[first - shot.first : first - shot.first + EVERY + 1], folder, RATE)
        for index in (0, EVERY):
            shutil.copyfile(folder / f"{index:04}.png", keys / f"{first + index:05}.png")


def _join(folders: Sequence[Path], film: Path) -> None:
    """All frames as one film."""
    with written_whole(film) as unfinished, av.open(str(unfinished), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for folder in folders:
            for file in sorted(folder.iterdir()):
                with Image.open(file) as image:
                    container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())


def _divide(frames: Path, shot: Shot, clips: Path) -> None:
    """A shot's result as the clips from keyframe to keyframe."""
    for first in starts(shot):
        files = [frames / f"{first - shot.first + index:04}.png" for index in range(EVERY + 1)]
        write_frames(torch.stack([read_image(file) for file in files]), clips / clip(shot, first), RATE)


def _run(command: str, *arguments: object) -> None:
    """A command of the core.

    Raises:
        ChildProcessError: it failed; it has said why.
    """
    module = f"tooncrafter_core{command}" if command.startswith(".") else "tooncrafter_core"
    words = [*(() if command.startswith(".") else (command,)), *arguments]
    if status := subprocess.run([sys.executable, "-m", module, *map(str, words)], cwd=ROOT).returncode:
        raise ChildProcessError(f"python -m {module} ended with status {status}; it says why above")


if __name__ == "__main__":
    sys.exit(main())
