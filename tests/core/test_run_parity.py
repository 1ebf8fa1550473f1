"""Whole sampling runs, step by step, and the whole way from pictures to frames."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest
import torch
from golden import RUN_LIMIT, compare, family, full, relative_error, split_context, strength
from torch import Tensor

from tooncrafter_core import Settings, ToonCrafter, interpolate
from tooncrafter_core.files.tokenizer import tokenize
from tooncrafter_core.models.clip.vision_tower import preprocess
from tooncrafter_core.models.config import LATENT_SCALE
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.vae.autoencoder import reference_pairs
from tooncrafter_core.sampling.ddim import DDIMStep, ddim
from tooncrafter_core.sampling.guidance import guide
from tooncrafter_core.sampling.schedule import Schedule
from tooncrafter_core.timeline import keyframe_condition

RUN = r"ddim\.(?:sketch(?P<strength>\d+)\.)?eta(?P<eta>[\d.]+?)\.cfg(?P<scale>[\d.]+?)(?:\.rescale(?P<rescale>[\d.]+))?"
SCHEDULE = Schedule.published()
Vectors = dict[str, Tensor]


@dataclass
class Run:
    """One sampling run of the published implementation, done here."""

    models: ToonCrafter
    vectors: Vectors
    settings: re.Match[str]
    steps: list[DDIMStep] = field(default_factory=list)

    def sample(self) -> Tensor:
        start, noises = self.vectors["ddim.x_T"], iter(self.vectors["ddim.noises"])
        timesteps = SCHEDULE.trailing_timesteps(len(self.vectors["ddim.noises"]))
        self.contexts = [self._context(key) for key in ("unet.context", "unet.context_uncond")]
        eta = float(self.settings["eta"])
        return ddim(self._velocity, start, SCHEDULE, timesteps, eta, lambda: next(noises), self.steps.append)

    def _context(self, key: str) -> CrossContext:
        text_tokens, frames = self.vectors["text.embedding"].shape[1], self.vectors["ddim.x_T"].shape[2]
        return split_context(self.vectors[key], text_tokens, frames)

    def _velocity(self, z: Tensor, t: int) -> Tensor:
        scale, rescale = float(self.settings["scale"]), float(self.settings["rescale"] or 0)
        if scale == 1:
            return self._predict(z, t, self.contexts[0], rate=24)
        conditional, unconditional = (self._predict(z, t, context, rate=10) for context in self.contexts)
        return guide(conditional, unconditional, scale, rescale)

    def _predict(self, z: Tensor, t: int, context: CrossContext, rate: int) -> Tensor:
        x, timesteps, controls = torch.cat([z, self.vectors["unet.concat"]], dim=1), full(z, t), None
        if self.settings["strength"]:
            assert self.models.sketch_encoder is not None
            factor = strength(self.settings["strength"])
            controls = self.models.sketch_encoder(z, self.vectors["sketch.hint"], timesteps, context, factor)
        return self.models.unet(x, timesteps, full(z, rate), context, controls)

    def rescaled_estimates(self) -> Tensor:
        """Clean latents as the vectors keep them: times the rescale of the next timestep, at the end of their own."""
        timesteps = [step.timestep for step in self.steps]
        following = [*timesteps[1:], timesteps[-1]]
        scaled = [step.denoised * SCHEDULE.rescale[t] for step, t in zip(self.steps, following, strict=True)]
        return torch.stack(scaled)


@pytest.fixture(scope="module")
def runs(models: ToonCrafter, vectors: Vectors) -> dict[str, tuple[Run, Tensor]]:
    """Every run of the vectors: the steps and the final latents."""
    made: dict[str, tuple[Run, Tensor]] = {}
    with torch.no_grad():
        for match in family(vectors, RUN):
            run = Run(models, vectors, match)
            made[match[0]] = (run, run.sample())
    return made


def test_final_latents(runs: dict[str, tuple[Run, Tensor]], vectors: Vectors) -> None:
    compare({key: latents for key, (_, latents) in runs.items()}, vectors, RUN_LIMIT)
    assert any(run.settings["strength"] for run, _ in runs.values()), "no run with sketches"
    assert any(float(run.settings["scale"]) == 1 for run, _ in runs.values()), "no run without guidance"


def test_every_step(runs: dict[str, tuple[Run, Tensor]], vectors: Vectors) -> None:
    outputs: Vectors = {}
    for match in family(vectors, rf"(?P<run>{RUN})\.x_inter"):
        run, _ = runs[match["run"]]
        latents = torch.stack([step.latents for step in run.steps])
        outputs |= by_step(match[0], latents) | by_step(f"{match['run']}.pred_x0", run.rescaled_estimates())
    stored = {key: vectors[name][int(step) + 1] for key in outputs for name, _, step in [key.rpartition("#")]}
    compare(outputs, stored, RUN_LIMIT)


def by_step(key: str, values: Tensor) -> Vectors:
    return {f"{key}#{step}": value for step, value in enumerate(values)}


def test_frames_of_a_run(runs: dict[str, tuple[Run, Tensor]], models: ToonCrafter, vectors: Vectors) -> None:
    keyframes = torch.cat([vectors["image.first"], vectors["image.last"]])
    references = reference_pairs(models.autoencoder.encode_keyframes(keyframes).features)
    for match in family(vectors, r"frames\.eta([\d.]+)"):
        (latents,) = (out for run, out in runs.values() if run.settings["eta"] == match[1] and not run.settings[1])
        frames = models.autoencoder.decode_segments_twice(latents / LATENT_SCALE, references)
        compare({match[0]: frames}, vectors, RUN_LIMIT)


def test_interpolate_is_its_stages(models: ToonCrafter, vectors: Vectors) -> None:
    frames = models.projector.config.frames
    settings = Settings(prompt="an anime scene", negative_prompt="blurry", frames=frames, steps=2, seed=5)
    pixels = torch.cat([vectors["image.first"], vectors["image.last"]])
    height, width = pixels.shape[-2:]
    out = interpolate(models, (pixels + 1) / 2, width, height, settings=settings)
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
    latents = ddim(velocity, noise(), SCHEDULE, timesteps, settings.eta, noise)
    decoded = models.autoencoder.decode_segments_twice(latents / LATENT_SCALE, reference_pairs(encoded.features))
    return ((decoded[0].transpose(0, 1) + 1) / 2).clamp(0, 1)
