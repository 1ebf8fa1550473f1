"""Frames to look at together: every frame is where its number says, and marks and tints show."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tooncrafter_core.evaluation.scenes import picture, scenes
from tooncrafter_core.frames.sheets import OnionSkin, contact_sheet, grid, onion_skin, parse_tint, variants_sheet

SCENE = scenes(1, seed=3)[0]


def clip(count: int) -> Tensor:
    return torch.stack([picture(SCENE, frame / (count - 1)) for frame in range(count)])


def test_grid_is_filled_row_by_row() -> None:
    frames = torch.rand(5, 3, 4, 6)
    sheet = grid(frames, 3)
    assert sheet.shape == (3, 8, 18)
    assert torch.equal(sheet[:, 4:, 6:12], frames[4])
    assert (sheet[:, 4:, 12:] == 1).all()


def test_contact_sheet_shows_frames_as_they_are_and_marks_below_them() -> None:
    frames = clip(6)
    height, width = frames.shape[-2:]
    sheet = contact_sheet(frames, 4, keyframes=[0, 5], sketches=[2, 5])
    tall = sheet.shape[1] // 2
    assert sheet.shape == (3, 2 * tall, 4 * width) and height < tall < 1.3 * height
    captions = []
    for index in range(6):
        top, left = index // 4 * tall, index % 4 * width
        assert torch.equal(sheet[:, top : top + height, left : left + width], frames[index])
        captions.append(sheet[:, top + height : top + tall, left : left + width])
    colours = [tuple(caption[:, -1, -1].tolist()) for caption in captions]
    assert colours[0] == colours[5] and colours[1] == colours[3] == colours[4]
    assert len({colours[0], colours[1], colours[2]}) == 3
    assert len({tuple(caption.flatten().tolist()) for caption in captions}) == 6  # each has its number


def test_contact_sheet_of_few_frames_is_one_row() -> None:
    assert contact_sheet(clip(2), 8).shape[2] == 2 * picture(SCENE, 0).shape[2]


def test_versions_of_a_clip_are_rows() -> None:
    one, other = clip(6), clip(6).flip(0)
    height, width = one.shape[-2:]
    sheet = variants_sheet([one, other], ["seed 1", "seed 2"], shown=3)
    tall = sheet.shape[1] // 2
    assert sheet.shape == (3, 2 * tall, 3 * width)
    assert torch.equal(sheet[:, :height, width : 2 * width], one[2])
    assert torch.equal(sheet[:, tall : tall + height, 2 * width :], other[5])
    assert not torch.equal(sheet[:, height:tall, :width], sheet[:, tall + height :, :width])
    assert variants_sheet([one], ["a"], shown=9).shape[2] == 6 * width


def test_onion_skin_tints_what_moved_and_keeps_the_ground() -> None:
    frames = clip(5)
    shown = onion_skin(frames, 2, OnionSkin(before=1, after=1))
    still = ((frames[1:4] - frames[2]).abs() < 1e-6).all(dim=0).all(dim=0)
    assert still.float().mean() > 0.5
    assert torch.equal(shown[:, still], frames[2][:, still])
    for neighbour, tint in ((1, OnionSkin.before_tint), (3, OnionSkin.after_tint)):
        only = onion_skin(frames, 2, OnionSkin(before=int(neighbour == 1), after=int(neighbour == 3), opacity=1))
        lines = (frames[neighbour].mean(dim=0) < 0.2) & (frames[2].mean(dim=0) > 0.6)
        assert lines.sum() > 5
        assert (only[:, lines].mean(dim=1) - torch.tensor(tint)).abs().max() < 0.2


def test_farther_neighbours_are_fainter() -> None:
    frames = torch.ones(3, 3, 4, 6)
    frames[0, :, 0, 0] = 0
    frames[1, :, 0, 1] = 0
    shown = onion_skin(frames, 2, OnionSkin(before=2, after=0, before_tint=(1, 0, 0), opacity=0.8))
    assert shown[:, 0, 1].tolist() == pytest.approx([1, 0.2, 0.2])
    assert shown[:, 0, 0].tolist() == pytest.approx([1, 0.6, 0.6])


def test_no_neighbours_and_no_opacity_change_nothing() -> None:
    frames = clip(4)
    assert torch.equal(onion_skin(frames, 1, OnionSkin(opacity=0)), frames[1])
    assert torch.equal(onion_skin(frames, 0, OnionSkin(before=3, after=0)), frames[0])


def test_tints() -> None:
    assert parse_tint(" #ff8000 ") == pytest.approx((1, 128 / 255, 0))
    for text in ("red", "#ff80", "#ff800000", ""):
        with pytest.raises(ValueError, match="six hexadecimal digits"):
            parse_tint(text)
