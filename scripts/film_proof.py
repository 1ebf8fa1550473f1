"""Big Buck Bunny at every 16th frame: keyframes in, film out, with the small model at its size, and evaluated.

    python scripts/film_proof.py --film ~/.cache/tooncrafter-data/downloads/unpacked/bbb.mp4 --out proof

(c) 2008 Blender Foundation, www.bigbuckbunny.org, CC-BY 3.0; `python -m tooncrafter_core.data.build` downloads it. Of
each shot of 17 frames or more every 16th frame is a keyframe, 2:1 from the middle of the picture, at 128 x 64 pixels.
`batch` draws what is between them; `film.mp4` is all shots one after another. Each 17 frames from keyframe to keyframe
are then a clip for `tooncrafter_core.evaluation`. Broken off and started again, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import torch
from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tooncrafter_core.batch.results.store import Results  # noqa: E402
from tooncrafter_core.data.clip_format import HEIGHT, WIDTH  # noqa: E402
from tooncrafter_core.data.film_cuts import Shot, decode, read_shots  # noqa: E402
from tooncrafter_core.files.media import read_image, write_frames  # noqa: E402
from tooncrafter_core.files.whole import written_whole  # noqa: E402

MODEL = ROOT / "assets" / "tooncrafter-tiny" / "tooncrafter-tiny.safetensors"
EVERY = 16
RATE = 24


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--film", type=Path, required=True, help="the film, 14,315 frames")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="everything goes there")
    parser.add_argument("--shots", type=int, help="only the first so many")
    parser.add_argument("--steps", type=int, default=12, help="sampling steps (default %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="of batch, one thread each (default %(default)s)")
    options = parser.parse_args()
    out: Path = options.out.absolute()
    shots = [shot for shot in read_shots()[0] if shot.end - shot.first > EVERY][: options.shots]
    if not (out / "keys").exists():
        _cut(options.film, shots, out)
    _run("shots", out / "keys", "-o", out / "shots.jsonl")
    size = ("--width", WIDTH, "--height", HEIGHT, "--frame-rate", RATE)
    sampling = ("--steps", options.steps, "--guidance-scale", 1, "--workers", options.workers, "--threads", 1)
    _run("batch", out / "shots.jsonl", "--out", out / "drawn", "-c", MODEL, *size, *sampling)
    results = Results(out / "drawn")
    _join([results.frames(name(shot)) for shot in shots], out / "film.mp4")
    for shot in shots:
        _divide(results.frames(name(shot)), shot, out / "clips")
    evaluation = ("--truth", out / "truth", "--table", out / "table", "--builtin", "dissolve", "nearest", "flow")
    _run(".evaluation", f"{MODEL.stem}={out / 'clips'}", *evaluation)
    return 0


def name(shot: Shot) -> str:
    return f"shot{shot.number:03}"


def starts(shot: Shot) -> range:
    """Keyframes at which a segment begins."""
    return range(shot.first, shot.end - EVERY, EVERY)


def _cut(film: Path, shots: Sequence[Shot], out: Path) -> None:
    """Keyframes of every shot, and the true frames from one to the next; `keys` is there when all are."""
    keys = out / "unfinished-keys"
    shutil.rmtree(keys, ignore_errors=True)
    for shot, frames in _shots_of(film, shots):
        (keys / name(shot)).mkdir(parents=True)
        for first in starts(shot):
            clip = frames[first - shot.first : first - shot.first + EVERY + 1]
            write_frames(clip, out / "truth" / f"{name(shot)}-{first:05}", RATE)
            for index in (0, EVERY):
                source = out / "truth" / f"{name(shot)}-{first:05}" / f"{index:04}.png"
                shutil.copyfile(source, keys / name(shot) / f"{first + index:05}.png")
    keys.rename(out / "keys")


def _shots_of(film: Path, shots: Sequence[Shot]) -> Iterator[tuple[Shot, torch.Tensor]]:
    """Each shot's frames (n, 3, HEIGHT, WIDTH) in [0, 1]."""
    waiting, frames = list(shots), list[Image.Image]()
    for number, frame in decode(film):
        if not waiting:
            return
        if waiting[0].first <= number < waiting[0].end:
            frames.append(ImageOps.fit(frame.to_image(), (WIDTH, HEIGHT)))
        if number == waiting[0].end - 1:
            yield waiting.pop(0), torch.stack([_tensor(each) for each in frames])
            frames.clear()


def _tensor(image: Image.Image) -> torch.Tensor:
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(HEIGHT, WIDTH, 3).permute(2, 0, 1).float() / 255


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
        write_frames(torch.stack([read_image(file) for file in files]), clips / f"{name(shot)}-{first:05}", RATE)


def _run(command: str, *arguments: object) -> None:
    """A command of the core; the script ends where it fails."""
    module = f"tooncrafter_core{command}" if command.startswith(".") else "tooncrafter_core"
    words = [*(() if command.startswith(".") else (command,)), *arguments]
    subprocess.run([sys.executable, "-m", module, *map(str, words)], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
