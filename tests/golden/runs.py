"""The golden sampling runs done with our models: final latents, every step, and frames."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from comparison import full
from torch import Tensor

from tooncrafter_core import ToonCrafter
from tooncrafter_core.models.config import LATENT_SCALE
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.vae.autoencoder import reference_pairs
from tooncrafter_core.sampling.ddim import DDIMStep, Walk, ddim
from tooncrafter_core.sampling.guidance import guide
from tooncrafter_core.sampling.schedule import Schedule

from .outputs import Outputs, Vectors, context_of, family, keyframes_of, strength

RUN = r"ddim\.(?:sketch(?P<strength>\d+)\.)?eta(?P<eta>[\d.]+?)\.cfg(?P<scale>[\d.]+?)(?:\.rescale(?P<rescale>[\d.]+))?"
SCHEDULE = Schedule.published()


@dataclass
class Run:
    """One sampling run of the vectors, done here."""

    models: ToonCrafter
    vectors: Vectors
    settings: re.Match[str]
    steps: list[DDIMStep] = field(default_factory=list)

    def sample(self) -> Tensor:
        start, noises = self.vectors["ddim.x_T"], iter(self.vectors["ddim.noises"])
        timesteps = SCHEDULE.trailing_timesteps(len(self.vectors["ddim.noises"]))
        self.contexts = [context_of(self.vectors, name) for name in ("unet.context", "unet.context_uncond")]
        eta = float(self.settings["eta"])
        return ddim(self._velocity, start, Walk(SCHEDULE, timesteps, eta), lambda: next(noises), self.steps.append)

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

    def latents(self) -> Tensor:
        """As the vectors keep them: the start, then the end of every step."""
        return torch.stack([self.vectors["ddim.x_T"], *(step.latents for step in self.steps)])

    def rescaled_estimates(self) -> Tensor:
        """Clean latents as the vectors keep them: times the rescale of the next timestep, at the end of their own."""
        timesteps = [step.timestep for step in self.steps]
        following = [*timesteps[1:], timesteps[-1]]
        scaled = [step.denoised * SCHEDULE.rescale[t] for step, t in zip(self.steps, following, strict=True)]
        return torch.stack([self.vectors["ddim.x_T"], *scaled])


Runs = Mapping[str, tuple[Run, Tensor]]
"""By name: a run that has been done, and its final latents."""


def sampled(models: ToonCrafter, vectors: Vectors, names: Iterable[str]) -> Runs:
    """Every run that is asked for."""
    made: dict[str, tuple[Run, Tensor]] = {}
    for match in family(names, RUN):
        run = Run(models, vectors, match)
        made[match[0]] = (run, run.sample())
    return made


def steps_of(runs: Runs, names: Iterable[str]) -> Outputs:
    """Latents and clean estimates of the runs whose steps are asked for."""
    outputs: Outputs = {}
    for match in family(names, rf"(?P<run>{RUN})\.x_inter"):
        run, _ = runs[match["run"]]
        outputs |= {match[0]: run.latents(), f"{match['run']}.pred_x0": run.rescaled_estimates()}
    return outputs


def frames_of(runs: Runs, models: ToonCrafter, vectors: Vectors, names: Iterable[str]) -> Outputs:
    """Frames of the guided runs without sketches, decoded twice."""
    references = reference_pairs(models.autoencoder.encode_keyframes(keyframes_of(vectors)).features)
    outputs: Outputs = {}
    for match in family(names, r"frames\.eta([\d.]+)"):
        (latents,) = (
            out for run, out in runs.values() if run.settings["eta"] == match[1] and not run.settings["strength"]
        )
        outputs[match[0]] = models.autoencoder.decode_segments_twice(latents / LATENT_SCALE, references)
    return outputs
