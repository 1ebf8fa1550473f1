"""How the data set is planned, cut and composed; without its downloads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tooncrafter_core.data import sources as dataset_sources
from tooncrafter_core.data.build import TOON_FRAMES, Character, caption, choose_start, compose, family, read_characters
from tooncrafter_core.data.clip_format import HEIGHT, WIDTH, write_clip
from tooncrafter_core.data.composites import SPRITE, composite, draw_background, pan, premultiply, reach, travel
from tooncrafter_core.data.film_cuts import find_fault, plan_cuts, read_shots
from tooncrafter_core.training.clips.manifest import Clip, read_manifest, write_manifest
from tooncrafter_core.training.clips.stream import ClipStream, Cut, Sample


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def scenery(frames: int, speed: float = 1.0) -> np.ndarray:
    """A smooth picture that pans by `speed` px a frame: (t, H, W, 3)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    shifts = speed * np.arange(frames)[:, None, None]
    wave = 128 + 60 * np.sin((columns + shifts) / 5) + 50 * np.cos(rows / 7)
    return np.repeat(wave[..., None], 3, axis=-1).astype(np.uint8)


def test_no_source_is_in_both_splits(tmp_path):
    shots, windows = read_shots()
    cuts = plan_cuts(shots, windows)
    characters = read_characters()
    clips = [
        Clip(tmp_path / cut.name, 24.0, "", cut.shot.split, f"bbb:{cut.shot.number}", "film", cut.motion)
        for cut in cuts
    ]
    clips += [
        Clip(tmp_path / character.name, 24.0, "", character.split, f"fluent:{character.name}", "toon", 0.0)
        for character in characters
    ]
    write_manifest(tmp_path / "manifest.jsonl", clips)  # refuses a source in both splits
    assert len(read_manifest(tmp_path / "manifest.jsonl")) == len(clips)
    assert len({cut.name for cut in cuts}) == len(cuts)
    for part in (shots, characters):
        assert sum(item.split == "held_out" for item in part) == pytest.approx(0.1 * len(part), abs=3)
    held_out = {family(character.name) for character in characters if character.split == "held_out"}
    assert held_out.isdisjoint(family(character.name) for character in characters if character.split == "train")


def test_the_plan_is_always_the_same_and_inside_the_film():
    shots, windows = read_shots()
    cuts = plan_cuts(shots, windows)
    assert cuts == plan_cuts(shots, windows)
    assert read_characters() == read_characters()
    for cut in cuts:
        left, top, right, bottom = cut.box
        assert min(left, top) >= 0 and right <= 1280 and bottom <= 720
        assert (right - left) / (bottom - top) == pytest.approx(2)
        assert cut.shot.first <= cut.first and 24 <= cut.end - cut.first <= 48 and cut.end <= cut.shot.end


def test_look_alikes_are_one_family():
    assert family("1f468-1f3fb-200d-1f9af") == family("1f9d1-1f3fb-200d-1f9af") != family("1f9d1-1f3fb")
    assert family("26f9-1f3fb-200d-2642-fe0f") == family("26f9-1f3fb") == "26f9"
    assert family("0023-fe0f-20e3") == family("002a-fe0f-20e3")
    assert family("2640-fe0f") != family("2642-fe0f")


def test_captions():
    assert caption("1f3f9") == "bow and arrow"
    assert caption("1f468-1f3fb-200d-1f9af") == "man, probing cane"


def test_faults_are_found():
    calm = scenery(32)
    assert find_fault(calm) is None
    cut = calm.copy()
    cut[20:] = 255 - cut[20:]
    assert find_fault(cut) == "cut"
    late = calm.copy()
    late[31] = 255 - late[31]
    assert find_fault(late) == "cut"
    weights = np.clip((np.arange(32) - 8) / 16, 0, 1)[:, None, None, None]
    other = np.roll(scenery(32, speed=0.0), 16, axis=2)
    assert find_fault(((1 - weights) * scenery(32, speed=0.0) + weights * other).astype(np.uint8)) == "dissolve"
    assert find_fault(np.full_like(calm, 90)) == "blank"
    assert find_fault(scenery(32, speed=0.0)) == "still"
    sudden = np.concatenate([scenery(16, 0.0), scenery(16, 4.0)])
    assert find_fault(sudden) is None


def test_a_transparent_edge_takes_no_colour_from_what_is_hidden():
    pixels = np.zeros((SPRITE, SPRITE, 4), np.uint8)
    pixels[..., 1] = 255  # green where nothing is to be seen
    pixels[64:192, 64:192] = (255, 0, 0, 255)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    composite(picture, premultiply(Image.fromarray(pixels)), 64.0, (64.3, 31.7))
    assert picture[..., 1].max() == 0
    assert (picture[20:44, 52:76] == (255, 0, 0)).all()
    assert picture[..., 0].astype(float).sum() == pytest.approx(255 * 32 * 32, rel=0.01)
    columns = picture[..., 0].astype(float).sum(axis=0)
    assert (columns * (np.arange(WIDTH) + 0.5)).sum() / columns.sum() == pytest.approx(64.3, abs=0.05)


def test_half_transparent_is_half_and_half():
    sprite = premultiply(Image.new("RGBA", (SPRITE, SPRITE), (200, 100, 0, 128)))
    picture = np.full((HEIGHT, WIDTH, 3), 50, np.uint8)
    composite(picture, sprite, 48.0, (64, 32))
    assert np.abs(picture[32, 64].astype(int) - (125, 75, 25)).max() <= 1
    assert (picture[:, :30] == 50).all()


@pytest.mark.parametrize("centre", [(0.0, 0.0), (128.0, 64.0), (-90.0, 32.0), (64.0, 200.0)])
def test_a_character_may_be_cut_off_or_outside(centre):
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    composite(picture, premultiply(Image.new("RGBA", (SPRITE, SPRITE), "white")), 44.0, centre)
    assert (picture > 0).any() == (0 <= centre[0] <= 128 and centre[1] <= 64)


def test_paths_are_smooth_and_stay_near():
    for seed in range(50):
        path = travel(np.random.default_rng(seed), 40, (20.0, 25.0), (108.0, 39.0))
        assert path.shape == (40, 2)
        assert path[:, 0].min() > 15 and path[:, 0].max() < 113
        assert path[:, 1].min() > 0 and path[:, 1].max() < HEIGHT
        assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() < 14
        assert 8 < reach(path) < 90
    assert reach(np.stack([np.arange(40), np.zeros(40)], axis=1).astype(float)) == 15


def test_pans_stay_inside_the_picture_and_know_their_speed():
    for seed in range(50):
        boxes, moved = pan(np.random.default_rng(seed), (512, 288), 40, moves=True)
        corners = np.array(boxes)
        assert corners.min() >= 0 and corners[:, 2].max() <= 512 and corners[:, 3].max() <= 288
        scale = (corners[0, 2] - corners[0, 0]) / WIDTH
        assert moved == pytest.approx(np.linalg.norm(corners[15, :2] - corners[0, :2]) / scale, rel=1e-6)
        assert moved > 2
    assert len(set(pan(generator(), (512, 288), 40, moves=False)[0])) == 1


def test_backgrounds_differ():
    assert len({draw_background(np.random.default_rng(seed)).tobytes() for seed in range(20)}) == 20


def test_the_best_frames_are_inside():
    for frames, best in [(72, 0), (72, 56), (72, 32), (33, 8), (47, 24), (40, 24), (73, 24)]:
        for seed in range(20):
            first, count = choose_start(np.random.default_rng(seed), frames, best)
            assert 0 <= first <= best and best + 16 <= first + count <= frames
            assert count == min(TOON_FRAMES, frames)


def test_a_composed_clip_can_be_drawn_from(tmp_path: Path):
    character = Character("1f98a", 1, 12.0, 8, "train")
    sprites = []
    for number in range(48):
        picture = Image.new("RGBA", (SPRITE, SPRITE))
        picture.paste((250, 120, 20, 255), (40 + number, 40, 200, 220))
        sprites.append(premultiply(picture))
    pictures = [[Image.new("RGB", (640, 360), "navy")]] * 2
    frames, motion = compose(generator(), character, sprites, pictures)
    again, _ = compose(generator(), character, sprites, pictures)
    assert frames.shape == (TOON_FRAMES, HEIGHT, WIDTH, 3) and motion > 0
    assert np.array_equal(frames, again)
    write_clip(tmp_path / "a.mp4", frames)
    stream = ClipStream(
        [Clip(tmp_path / "a.mp4", 24.0, "fox", "train", "fox", "toon", motion)],
        Cut(16, WIDTH, HEIGHT, [2]),
        seed=0,
        draws=1,
    )
    sample = stream[0]
    assert isinstance(sample, Sample)
    drawn = sample.video.flip(-1) if sample.flipped else sample.video
    wanted = frames[sample.start :: 2][:16].transpose(0, 3, 1, 2)
    assert np.abs(drawn.numpy().astype(int) - wanted).mean() < 3


def test_a_failed_download_says_what_was_run(tmp_path, monkeypatch):
    source = dataset_sources.Source("A film", "film 1.0", ("film-*.zip",), (("ls", "--nonsense"),), "MIT", "Me", "all")
    monkeypatch.setattr(dataset_sources, "SOURCES", (source,))
    with pytest.raises(RuntimeError, match=r"'ls --nonsense' gave no film-\*.zip"):
        dataset_sources.download(tmp_path)
    (tmp_path / "film-1.zip").touch()
    dataset_sources.download(tmp_path)


def test_every_source_has_its_licence_and_credit():
    text = dataset_sources.licences()
    for source in dataset_sources.SOURCES:
        assert source.licence in text and source.credit in text
