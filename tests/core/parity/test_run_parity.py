"""Whole sampling runs, step by step, and the whole way from pictures to frames."""

from __future__ import annotations

import pytest
import torch
from comparison import RUN_LIMIT, compare, full, relative_error
from golden.outputs import Outputs, keyframes_of
from golden.runs import Runs, frames_of, sampled, steps_of
from torch import Tensor

from tooncrafter_core import Settings, ToonCrafter, interpolate
from tooncrafter_core.files.tokenizer import tokenize
from tooncrafter_core.models.clip.vision_tower import preprocess
from tooncrafter_core.models.config import LATENT_SCALE
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.vae.autoencoder import reference_pairs
from tooncrafter_core.sampling.ddim import Walk, ddim
from tooncrafter_core.sampling.guidance import guide
from tooncrafter_core.sampling.schedule import Schedule
from tooncrafter_core.timeline import keyframe_condition

SCHEDULE = Schedule.published()
Vectors = dict[str, Tensor]


@pytest.fixture(scope="module")
def runs(models: ToonCrafter, vectors: Vectors) -> Runs:
    """Every run of the vectors."""
    with torch.no_grad():
        return sampled(models, vectors, vectors)


def test_final_latents(runs: Runs, vectors: Vectors) -> None:
    compare({key: latents for key, (_, latents) in runs.items()}, vectors, RUN_LIMIT)
    assert any(run.settings["strength"] for run, _ in runs.values()), "no run with sketches"
    assert any(float(run.settings["scale"]) == 1 for run, _ in runs.values()), "no run without guidance"


def test_every_step(runs: Runs, vectors: Vectors) -> None:
    made = steps_of(runs, vectors)
    stored = by_step({name: vectors[name] for name in made})
    compare(by_step(made), stored, RUN_LIMIT)


def by_step(vectors: Outputs) -> Outputs:
    return {f"{name}#{step}": value for name, values in vectors.items() for step, value in enumerate(values)}


def test_frames_of_a_run(runs: Runs, models: ToonCrafter, vectors: Vectors) -> None:
    compare(frames_of(runs, models, vectors, vectors), vectors, RUN_LIMIT)


@pytest.mark.parametrize("golden", ["frozen"], indirect=True)
def test_interpolate_is_its_stages(models: ToonCrafter, vectors: Vectors) -> None:
    frames = models.projector.config.frames
    pixels = keyframes_of(vectors)
    height, width = pixels.shape[-2:]
    settings = Settings("an anime scene", "blurry", width, height, frames=frames, steps=2, seed=5)
    out = interpolate(models, (pixels + 1) / 2, settings)
    by_hand = stage_by_stage(models, pixels, settings)
    assert out.shape == (frames, 3, height, width)
    assert relative_error(out, by_hand) <= 1e-5


def stage_by_stage(models: ToonCrafter, pixels: Tensor, settings: Settings) -> Tensor:
    """Frames (t, 3, H, W) in [0, 1] of one segment at the size of its keyframes."""
    encoded = models.autoencoder.encode_keyframes(pixels)
    condition = keyframe_condition(encoded.latents * LATENT_SCALE, settings.frames)
    side = models.vision.config.image_size
    grey = torch.zeros(1, 3, side, side)
    contexts = [
        CrossContext(models.text(tokenize(prompt)), models.projector(models.vision(preprocess(image, side))))
        for prompt, image in ((settings.prompt, pixels[:1]), (settings.negative_prompt, grey))
    ]

    def velocity(z: Tensor, t: int) -> Tensor:
        x = torch.cat([z, condition], dim=1)
        v = [models.unet(x, full(x, t), full(x, settings.frame_rate), context) for context in contexts]
        return guide(v[0], v[1], settings.guidance_scale, settings.guidance_rescale)

    generator = torch.Generator().manual_seed(settings.seed)
    frame_noise = (settings.frames, condition.shape[1], *condition.shape[3:])

    def noise() -> Tensor:
        return torch.randn(frame_noise, generator=generator).transpose(0, 1)[None]

    timesteps = SCHEDULE.trailing_timesteps(settings.steps)
    latents = ddim(velocity, noise(), Walk(SCHEDULE, timesteps, settings.eta), noise)
    decoded = models.autoencoder.decode_segments_twice(latents / LATENT_SCALE, reference_pairs(encoded.features))
    return ((decoded[0].transpose(0, 1) + 1) / 2).clamp(0, 1)
