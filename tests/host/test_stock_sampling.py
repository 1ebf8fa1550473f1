"""Stock samplers, schedulers and model patches on MODEL.

The published walk is DDIM over trailing timesteps; stock samplers walk sigmas. Euler over the `simple` scheduler's
sigmas is DDIM at eta 0 over the same timesteps to a clean end, wherever the number of steps divides 1000.
"""

from __future__ import annotations

import re

import pytest
from comfy_harness.prompts import Prompt, changed, interpolation, node
from comfy_harness.server import ComfyServer
from results import latents_of
from torch import Tensor

STEPS, SEED, SCALE = 10, 3, 2.0
SIZES = {"width": 64, "height": 64, "frames": 4}


@pytest.fixture(scope="module")
def graph(comfy_server: ComfyServer, drawn: dict[str, str]) -> Prompt:
    """Its sampler is DDIM at eta 0 to a clean end, without rescaled guidance."""
    guidance = {"guidance_scale": SCALE, "guidance_rescale": 0.0}
    sampling = {"steps": STEPS, "seed": SEED, **guidance, "eta": 0.0, "clean_end": True}
    return interpolation([drawn["first"], drawn["last"]], encode=SIZES, sample=sampling)


def with_ksampler(graph: Prompt, sampler: str, scheduler: str, model: str = "loader", **changes: object) -> Prompt:
    wires = {"model": [model, 0], "positive": ["encode", 0], "negative": ["encode", 1], "latent_image": ["encode", 2]}
    settings = {"seed": SEED, "steps": STEPS, "cfg": SCALE, "denoise": 1.0, **changes}
    return {**graph, "sampler": node("KSampler", **wires, sampler_name=sampler, scheduler=scheduler, **settings)}


def difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.fixture(scope="module")
def ddim(comfy_server: ComfyServer, graph: Prompt) -> Tensor:
    return latents_of(comfy_server, graph)


@pytest.fixture(scope="module")
def euler(comfy_server: ComfyServer, graph: Prompt) -> Tensor:
    return latents_of(comfy_server, with_ksampler(graph, "euler", "simple"))


def test_euler_over_trailing_timesteps_is_our_ddim(ddim: Tensor, euler: Tensor) -> None:
    assert difference(euler, ddim) < 1e-3


def test_ksampler_advanced_in_two_halves(comfy_server: ComfyServer, graph: Prompt, euler: Tensor) -> None:
    inputs = with_ksampler(graph, "euler", "simple")["sampler"]["inputs"]
    common = {name: inputs[name] for name in inputs if name not in ("seed", "denoise")} | {"noise_seed": SEED}
    begin = {"add_noise": "enable", "start_at_step": 0, "end_at_step": 4, "return_with_leftover_noise": "enable"}
    rest = {"add_noise": "disable", "start_at_step": 4, "end_at_step": STEPS, "return_with_leftover_noise": "disable"}
    halves = {
        "begun": node("KSamplerAdvanced", **common, **begin),
        "sampler": node("KSamplerAdvanced", **{**common, "latent_image": ["begun", 0]}, **rest),
    }
    assert difference(latents_of(comfy_server, {**graph, **halves}), euler) < 1e-4


def test_rescale_cfg(comfy_server: ComfyServer, graph: Prompt, euler: Tensor) -> None:
    patched = {**graph, "patched": node("RescaleCFG", model=["loader", 0], multiplier=0.7)}
    found = latents_of(comfy_server, with_ksampler(patched, "euler", "simple", "patched"))
    assert found.isfinite().all() and found.std() < euler.std()


def test_model_sampling_patch(comfy_server: ComfyServer, graph: Prompt, euler: Tensor) -> None:
    """Another schedule: another walk, which KSampler takes."""
    patch = node("ModelSamplingDiscrete", model=["loader", 0], sampling="v_prediction", zsnr=True)
    found = latents_of(comfy_server, with_ksampler({**graph, "patched": patch}, "euler", "simple", "patched"))
    assert found.isfinite().all() and 0.2 < found.std() / euler.std() < 5


def test_easy_cache_skips_steps(comfy_server: ComfyServer, graph: Prompt, euler: Tensor) -> None:
    cache = {"reuse_threshold": 1.0, "start_percent": 0.1, "end_percent": 0.95, "verbose": False}
    patched = {**graph, "patched": node("EasyCache", model=["loader", 0], **cache)}
    found = latents_of(comfy_server, with_ksampler(patched, "euler", "simple", "patched"))
    skipped = [int(count) for count in re.findall(r"EasyCache - skipped (\d+)/10 steps", comfy_server.log_text())]
    assert skipped and skipped[-1] > 0
    assert 0 < difference(found, euler) < 0.5


def test_torch_compile_model(comfy_server: ComfyServer, graph: Prompt) -> None:
    """The same latents. `cudagraphs` generates no code, which would take minutes here."""
    compiled = {**graph, "compiled": node("TorchCompileModel", model=["loader", 0], backend="cudagraphs")}
    found, expected = (
        latents_of(comfy_server, changed(compiled, "sampler", model=[model, 0], steps=1))
        for model in ("compiled", "loader")
    )
    assert difference(found, expected) < 1e-4
