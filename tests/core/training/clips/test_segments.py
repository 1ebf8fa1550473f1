"""Kept segments as samples: which row a draw is, forwards or backwards in time, and batches of them."""

from __future__ import annotations

import torch

from tooncrafter_core.training.clips.segments import CachedSegments, Segments, collate_segments


def numbered(count: int) -> Segments:
    """Segments in which everything tells its row and its place in time."""
    row = torch.arange(count).float()
    time = torch.arange(4).float() / 10
    over_time = row[:, None] + time
    return Segments(
        latents=over_time[:, None, :, None, None].expand(count, 2, 4, 3, 5).half(),
        vision=over_time[:, [0, -1], None, None].expand(count, 2, 6, 7).half(),
        text=row[:, None, None].expand(count, 77, 3).half(),
        fps=row + 10,
        lines=(10 * over_time)[:, None, :, None, None].expand(count, 1, 4, 24, 40).byte(),
    )


def test_a_draw_is_a_row_forwards_or_backwards() -> None:
    kept = numbered(5)
    draws = CachedSegments(kept, seed=1, draws=200)
    assert len(draws) == 200
    seen = []
    for n in range(200):
        one = draws[n]
        row = int(one.fps) - 10
        backwards = bool(one.latents[0, 0, 0, 0] > one.latents[0, -1, 0, 0])
        times, ends = ([3, 2, 1, 0], [1, 0]) if backwards else ([0, 1, 2, 3], [0, 1])
        assert torch.equal(one.latents, kept.latents[row][:, times])
        assert torch.equal(one.lines, kept.lines[row][:, times])
        assert torch.equal(one.vision, kept.vision[row][ends])
        assert torch.equal(one.text, kept.text[row])
        seen.append((row, backwards))
    assert {*seen} == {(row, backwards) for row in range(5) for backwards in (False, True)}
    assert 70 < sum(backwards for _, backwards in seen) < 130


def test_draws_can_be_repeated() -> None:
    kept = numbered(50)
    found = [float(CachedSegments(kept, 1, 20)[n].latents.sum()) for n in range(20)]
    again = CachedSegments(kept, 1, 30)
    assert [float(again[n].latents.sum()) for n in reversed(range(20))] == found[::-1]
    assert [float(CachedSegments(kept, 2, 20)[n].latents.sum()) for n in range(20)] != found


def test_batches_are_float32() -> None:
    kept = numbered(3)
    batch = collate_segments([kept.row(2), kept.row(0)])
    assert all(field.dtype == torch.float32 for field in batch)
    assert batch.fps.tolist() == [12.0, 10.0]
    assert batch.latents.shape == (2, 2, 4, 3, 5)
    torch.testing.assert_close(batch.lines[0, 0, :, 0, 0], torch.tensor([20.0, 21.0, 22.0, 23.0]) / 255)
    assert batch.skipped == 0
