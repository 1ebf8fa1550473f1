"""Drawn scenes that no training has seen, in which is known where the figure is: is it where its path says?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..data.clip_format import HEIGHT, WIDTH
from ..data.drawn_scenes import Scene, random_scene

SIZE = (WIDTH, HEIGHT)
FAR = (2.1, 2.7)
"""How far figures move between the keyframes, in radii: they hardly overlap, so that a dissolve shows two."""


def scenes(count: int, seed: int, travel: tuple[float, float] = FAR) -> list[Scene]:
    """Scenes of other seeds than the data set's, over a plain ground."""
    generators = (np.random.default_rng([seed, index, 7]) for index in range(count))
    return [replace(random_scene(rng, travel), ground="plain") for rng in generators]


def picture(scene: Scene, moment: float) -> Tensor:
    """The scene (3, HEIGHT, WIDTH) in [0, 1]; `moment` runs from 0 to 1."""
    return torch.from_numpy(scene.draw(moment).copy()).permute(2, 0, 1).float() / 255


def is_at(scene: Scene, frame: Tensor, moment: float) -> bool:
    """Whether a frame (3, HEIGHT, WIDTH) has the figure where it is at a moment: there, in the middle half of its
    disc, colours are nearer to the figure than to the ground."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    x, y = scene.centre(moment)
    inside = (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 < (scene.radius / 2) ** 2
    colour = frame[:, inside].mean(dim=1)
    figure = picture(scene, moment)[:, inside].mean(dim=1)
    ground = torch.tensor(scene.sky) / 255
    return bool((colour - figure).norm() < (colour - ground).norm())
