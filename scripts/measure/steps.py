"""How near the bundled model comes to drawn scenes with how many steps of which sampler, as it is and with its LoRA.

    python scripts/measure/steps.py --out steps --scenes 4

A real ComfyUI draws 16 frames of each scene, which no training has seen, without guidance and with one decoding pass:
with ToonCrafter Sampler (eta 0, clean_end), and with KSampler and the `simple` scheduler. Numbers are perceptual
distance and PSNR (dB) of frames 1 to 14, means over the scenes. They are kept in `--out`: started again, it goes on
where it stopped.
Scenes come one after the other, so that it can be ended after any. Writes `steps.md` and `steps.png`, which leaves
out what is worse than a cross-dissolve. Only the default samplers that this ComfyUI has are measured.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from comfy_harness.prompts import BUNDLED_LORA, BUNDLED_MODEL, Prompt, changed, interpolation, node
from comfy_harness.server import ROOT, ComfyServer, PromptFailed
from draw.curves import draw_curves
from PIL import Image
from torch import Tensor

from tooncrafter_core.evaluation.command import count, exit_status
from tooncrafter_core.evaluation.ladder import SET
from tooncrafter_core.evaluation.metrics import Distance, cross_dissolve, perceptual_distances, psnr
from tooncrafter_core.evaluation.report.store import Results, Values
from tooncrafter_core.evaluation.report.summary import table
from tooncrafter_core.evaluation.scenes import SIZE, picture, scenes
from tooncrafter_core.files.media import read_image
from tooncrafter_core.files.whole import file_digest
from tooncrafter_core.training.losses.perceptual import load_perceptual

TINY = ROOT / "assets" / "tooncrafter-tiny"
FILES = {"as it is": TINY / "tooncrafter-tiny.safetensors", "with the LoRA": TINY / "loras" / BUNDLED_LORA}
OWN = "ToonCrafter"
FRAMES = 16
SCENES_SEED = 13

log = logging.getLogger("measure_steps")


@dataclass(frozen=True)
class Setting:
    """One cell of the table."""

    model: str
    sampler: str
    steps: int

    def prompt(self, keyframes: Sequence[str]) -> Prompt:
        sizes = {"width": SIZE[0], "height": SIZE[1], "frames": FRAMES, "fps": 24}
        sampling = {"steps": self.steps, "guidance_scale": 1.0, "eta": 0.0, "clean_end": True}
        prompt = interpolation(keyframes, BUNDLED_MODEL, encode=sizes, sample=sampling, two_pass=False)
        wires = {"positive": ["encode", 0], "negative": ["encode", 1], "latent_image": ["encode", 2]}
        if self.sampler != OWN:
            settings = {"seed": 0, "steps": self.steps, "cfg": 1.0, "sampler_name": self.sampler}
            own = node("KSampler", model=["loader", 0], **wires, **settings, scheduler="simple", denoise=1.0)
            prompt = {**prompt, "sampler": own}
        if self.model != "as it is":
            prompt["lora"] = node(
                "LoraLoaderModelOnly", model=["loader", 0], lora_name=BUNDLED_LORA, strength_model=1.0
            )
            prompt = changed(prompt, "sampler", model=["lora", 0])
        return prompt


Means = dict[Setting, Values]
"""By the name of the measure; nothing where a sampler refuses."""

MEASURES = {"distance": ("Perceptual distance", 4), "psnr": ("PSNR, dB", 2)}
"""What a table says of them: title and digits."""


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, default=Path("steps"), help="folder of the results (default %(default)s)")
    add("--scenes", type=count, default=4, help="(default %(default)s)")
    add("--perceptual", type=Path, default=SET / "perceptual" / "alex_shift_tolerant.pth", help="(default %(default)s)")
    add("--steps", type=count, nargs="+", default=[1, 2, 4, 8, 12, 20, 50], help="(default %(default)s)")
    add(
        "--samplers",
        nargs="+",
        default=[OWN, "euler", "dpmpp_2m", "uni_pc", "lcm", "tcd"],
        help="(default %(default)s)",
    )
    options = parser.parse_args()
    return exit_status(lambda: write(options))


def write(options: argparse.Namespace) -> str:
    """Measure; the text of `steps.md`."""
    found, dissolve = measure(options)
    text = "\n".join(_report(options, found, dissolve)) + "\n"
    (options.out / "steps.md").write_text(text)
    curves = {
        f"{sampler}, {model}": {
            setting.steps: values["distance"]
            for setting, values in found.items()
            if (setting.model, setting.sampler) == (model, sampler) and values.get("distance", 9) < dissolve["distance"]
        }
        for model in FILES
        for sampler in _samplers(found)
    }
    draw_curves(curves, "steps", "perceptual distance").save(options.out / "steps.png")
    return text


def measure(options: argparse.Namespace) -> tuple[Means, Values]:
    """Every setting's means over the scenes, and the cross-dissolve's."""
    distance, results = load_perceptual(options.perceptual), Results(options.out / "values.jsonl")
    values: dict[Setting, list[Values]] = {}
    dissolves = []
    with tempfile.TemporaryDirectory() as folder, ComfyServer() as server:
        known = server.object_info()["KSampler"]["input"]["required"]["sampler_name"][0]
        samplers = [name for name in options.samplers if name == OWN or name in known]
        settings = [Setting(m, s, n) for m in FILES for s in samplers for n in options.steps]
        for number, scene in enumerate(scenes(options.scenes, SCENES_SEED)):
            truth = torch.stack([picture(scene, frame / (FRAMES - 1)) for frame in range(FRAMES)])
            keyframes = [upload(server, Path(folder) / f"{number}_{end}.png", truth[end]) for end in (0, -1)]
            dissolves.append(_between(cross_dissolve(truth[0], truth[-1], FRAMES), truth, distance))
            for setting in settings:
                key = f"{hashes(setting.model)} {setting} {SCENES_SEED} {number}"
                make = partial(measured, server, setting.prompt(keyframes), truth, distance)
                values.setdefault(setting, []).append(results.get(key, make))
            log.info("scene %d of %d", number + 1, options.scenes)
    return {setting: _means(values[setting]) for setting in settings}, _means(dissolves)


def measured(server: ComfyServer, prompt: Prompt, truth: Tensor, distance: Distance) -> Values:
    """Nothing where the sampler refuses."""
    try:
        files = server.outputs(server.run(prompt, timeout=3600))
    except PromptFailed as failure:
        log.info("%s", failure)
        return {}
    return _between(torch.stack([read_image(file) for file in files]), truth, distance)


@torch.no_grad()
def _between(frames: Tensor, truth: Tensor, distance: Distance) -> Values:
    inner = frames[1:-1], truth[1:-1]
    return {"distance": float(perceptual_distances(distance, *inner).mean()), "psnr": psnr(*inner)}


def _means(values: Sequence[Values]) -> Values:
    return {name: mean(each[name] for each in values) for name in MEASURES if all(values)}


def upload(server: ComfyServer, file: Path, drawn: Tensor) -> str:
    Image.fromarray((drawn * 255).round().byte().permute(1, 2, 0).numpy()).save(file)
    return server.upload(file)


def hashes(model: str) -> str:
    """Beginnings of the SHA-256 of the files that a model is made of."""
    files = list(FILES.values())[: 1 if model == "as it is" else 2]
    return " ".join(file_digest(file)[:16] for file in files)


def _samplers(found: Means) -> list[str]:
    return list(dict.fromkeys(setting.sampler for setting in found))


def _report(options: argparse.Namespace, found: Means, dissolve: Values) -> Iterator[str]:
    """Lines of Markdown: two tables for each model."""
    for model in FILES:
        yield f"The model {model} (SHA-256 {hashes(model).replace(' ', ' and ')}), {options.scenes} scene(s)."
        for measure, (title, digits) in MEASURES.items():
            rows = [
                [s, *(f"{found[Setting(model, s, n)].get(measure, math.nan):.{digits}f}" for n in options.steps)]
                for s in _samplers(found)
            ]
            yield ""
            yield table([title, *map(str, options.steps)], rows)
        yield ""
    yield f"A cross-dissolve: distance {dissolve['distance']:.4f}, {dissolve['psnr']:.2f} dB."


if __name__ == "__main__":
    sys.exit(main())
