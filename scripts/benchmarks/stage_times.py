"""Seconds and memory of every stage of an interpolation, beside what the machine can do.

`python scripts/benchmark.py run` measures the published sizes with random weights, `--small` a small model,
`--checkpoint FILE` any. A GPU is timed by its events. A CPU works with one thread and is timed by the CPU time of the
process, which other programs do not lengthen. A stage's first run, which is not timed, counts its operations and bytes
(see `Traffic`); fractions are of the fastest matrix product and copy of this machine in the same dtype. `--beside
FOLDER` runs the same with the `tooncrafter_core` of another checkout and writes how many times as long ours takes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from benchmark import FRAMES, HEIGHT, PUBLISHED, WIDTH
from random_checkpoint import MODEL
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from benchmarks.counters import PeakMemory, Traffic, Work
from benchmarks.machine import MATRIX, Machine, timed
from tooncrafter_core import Settings, ToonCrafter, interpolate
from tooncrafter_core.files.checkpoint import Checkpoint
from tooncrafter_core.files.tokenizer import tokenize
from tooncrafter_core.models.clip.vision_tower import preprocess
from tooncrafter_core.models.config import PIXELS_PER_LATENT, TOKENS_PER_FRAME
from tooncrafter_core.models.layers import Layers
from tooncrafter_core.models.unet.context import CrossContext
from tooncrafter_core.models.vae.autoencoder import reference_pairs

SMALL_SIZE = (128, 64)


def _attention_flops(q: torch.Size, k: torch.Size, v: torch.Size, *_: Any, **__: Any) -> int:
    """Of a CPU's attention, which PyTorch's counter leaves out."""
    return sdpa_flop_count(q, k, v)


CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}


@dataclass(frozen=True)
class Cost:
    """What one stage took.

    Attributes:
        seconds: median of the runs.
        peak: bytes of memory at most, beside weights and inputs.
        flops: operations of matrix products and convolutions.
        moved: bytes read and written, see `Traffic`.
    """

    seconds: float
    peak: int
    flops: int
    moved: int


def cost_of(work: Work, device: torch.device, runs: int, compile_it: Work | None = None) -> Cost:
    """Count a first run, warm up with a second, which is compiled if wanted, and time others."""
    # Operations that are made of others come in whole in inference mode; the last of the three takes them apart.
    with (
        PeakMemory(device.type) as memory,
        Traffic() as traffic,
        FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter,
    ):
        work()
    peak = memory.peak
    if compile_it is not None:
        compile_it()
    work()
    if device.type == "cuda":
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    seconds = median(timed(work, device, runs))
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated() - held
    return Cost(seconds, peak, counter.get_total_flops(), traffic.moved.total())


def load(options: argparse.Namespace) -> ToonCrafter:
    """The models of a file, or of random weights; these are on the device from the start."""
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    if options.checkpoint:
        return ToonCrafter.load(options.checkpoint, device=device, dtype=dtype)
    blank = Checkpoint(Path("random"), {}, MODEL if options.small else PUBLISHED)
    layers = Layers(device=device, dtype=dtype)
    parts: dict[str, Any] = {name: blank.build(name, layers).eval().requires_grad_(False) for name in blank.parts}
    return ToonCrafter(**parts, device=device, dtype=dtype)


class Stages:
    """Every stage by itself, on random inputs of the right sizes, and the whole."""

    def __init__(self, model: ToonCrafter, options: argparse.Namespace) -> None:
        self.model, self.options = model, options
        self.device, self.runs = torch.device(options.device), options.runs
        self.height, self.width = (side // PIXELS_PER_LATENT for side in (options.height, options.width))
        self.keyframes = torch.rand(2, 3, options.height, options.width, generator=torch.Generator().manual_seed(0))

    def costs(self) -> Iterator[tuple[str, Cost]]:
        model = self.model
        with model.at_work(model.text, model.vision, model.projector):
            yield "read prompt and keyframe", self._cost(self._tokens())
        with model.at_work(model.autoencoder):
            images = self.keyframes.to(self.device, model.dtype)
            yield "encode two keyframes", self._cost(lambda: model.autoencoder.encode_keyframes(images))
        with model.at_work(model.unet):
            yield "U-Net pass", self._cost(self.denoising(), model.unet if self.options.compiled else None)
        with model.at_work(model.autoencoder):
            yield (
                "decode once",
                self._cost(self.decoding(), model.autoencoder.decoder if self.options.compiled else None),
            )
        yield f"all, {self.options.steps} guided steps", self._cost(self._interpolate)

    def _cost(self, work: Work, compiled: torch.nn.Module | None = None) -> Cost:
        return cost_of(work, self.device, self.runs, None if compiled is None else compiled.compile)

    def _interpolate(self) -> Tensor:
        options = self.options
        settings = Settings(width=options.width, height=options.height, steps=options.steps, frames=options.frames)
        return interpolate(self.model, self.keyframes, settings)

    def _tokens(self) -> Work:
        model = self.model
        text = tokenize("").to(self.device)
        picture = preprocess(self.keyframes[:1] * 2 - 1, model.vision.config.image_size).to(self.device, model.dtype)

        def read() -> tuple[Tensor, Tensor]:
            return model.text(text), model.projector(model.vision(picture))

        return read

    def denoising(self) -> Work:
        config, frames = self.model.unet.config, self.options.frames
        x = self._random(1, config.in_channels, frames, self.height, self.width)
        text = self._random(1, 77, config.context_dim)
        image = self._random(1, frames, TOKENS_PER_FRAME, config.context_dim)
        context = CrossContext(text, image)
        number = torch.full((1,), 10, device=self.device)
        return lambda: self.model.unet(x, number, number, context)

    def decoding(self) -> Work:
        images = self.keyframes.to(self.device, self.model.dtype)
        encoded = self.model.autoencoder.encode_keyframes(images)
        references = reference_pairs(encoded.features)
        latents = self._random(1, encoded.latents.shape[1], self.options.frames, self.height, self.width)
        return lambda: self.model.autoencoder.decode_segments(latents, references)

    def _random(self, *shape: int) -> Tensor:
        return torch.randn(shape, device=self.device, dtype=self.model.dtype)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything as plain values.

    Raises:
        ValueError: a side that is no multiple of 8, or less than one of what is counted.
    """
    for name in ("steps", "frames", "runs"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} is {getattr(options, name)}; expected 1 or more")
    for name in ("width", "height"):
        if getattr(options, name) % PIXELS_PER_LATENT:
            raise ValueError(f"{name} is {getattr(options, name)}; expected a multiple of {PIXELS_PER_LATENT}")
    torch.manual_seed(0)
    if options.device == "cpu":
        torch.set_num_threads(1)
    machine = Machine.measured(torch.device(options.device), getattr(torch, options.dtype))
    with torch.no_grad():
        costs = {name: asdict(cost) for name, cost in Stages(load(options), options).costs()}
    told = ("device", "dtype", "steps", "width", "height", "frames", "compiled", "runs")
    settings = {name: getattr(options, name) for name in told}
    model = options.checkpoint or ("small, random" if options.small else "published size, random")
    return {"machine": asdict(machine), "torch": torch.__version__, "model": model, **settings, "stages": costs}


def table(found: dict[str, Any]) -> Iterator[str]:
    """Lines of a Markdown table."""
    machine = found["machine"]
    compiled = ", compiled" if found["compiled"] else ""
    yield (
        f"{machine['name']}, torch {found['torch']}, {found['dtype']}{compiled}; {found['model']}, {found['width']} x "
        f"{found['height']}, {found['frames']} frames; median of {found['runs']}. Matrix products "
        f"{machine['flops'] / 1e12:.3f} TFLOP/s, copies {machine['bandwidth'] / 1e9:.1f} GB/s."
    )
    yield ""
    yield "| stage | seconds | memory, MiB | TFLOP | of the products' speed | GB moved | of the copies' speed |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, cost in found["stages"].items():
        products = cost["flops"] / cost["seconds"] / machine["flops"]
        copies = cost["moved"] / cost["seconds"] / machine["bandwidth"]
        yield (
            f"| {name} | {cost['seconds']:.3g} | {cost['peak'] / 2**20:.0f} | {cost['flops'] / 1e12:.4f} | "
            f"{products:.0%} | {cost['moved'] / 1e9:.2f} | {copies:.0%} |"
        )


def ratios(ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[str]:
    """Ours by theirs, stage by stage."""
    yield "| stage | seconds, ours / theirs | memory | GB moved |"
    yield "| --- | --- | --- | --- |"
    for name, cost in ours["stages"].items():
        other = theirs["stages"][name]
        values = " | ".join(f"{cost[key] / other[key]:.2f}" for key in ("seconds", "peak", "moved"))
        yield f"| {name} | {values} |"


def _of_checkout(folder: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """What this script measures in a process of its own, with the `tooncrafter_core` of a checkout.

    Raises:
        ValueError: it failed; the message is the end of what it said.
    """
    # `benchmark` would put its own checkout first: the other one's core is imported before it.
    start = (
        "import sys; sys.path[:1] = sys.argv[1:3]; import tooncrafter_core; "
        "from benchmarks import stage_times; sys.exit(stage_times.main(sys.argv[3:]))"
    )
    places = str(folder.resolve()), str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", start, *places, *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"measuring {folder} failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def _beside() -> argparse.ArgumentParser:
    """The one option that is not passed on to what runs in a process of its own."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="another checkout to compare with")
    return parser


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[_beside()]
    )
    add = parser.add_argument
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--checkpoint", help="a complete checkpoint")
    weights.add_argument("--small", action="store_true", help="a small model with random weights")
    add("--device", choices=MATRIX, default="cuda" if torch.cuda.is_available() else "cpu")
    add("--dtype", choices=["float32", "bfloat16", "float16"], default="float32", help="of weights and activations")
    add("--steps", type=int, default=2, help="of the whole (default %(default)s)")
    add("--width", type=int, help=f"pixels (default {WIDTH}, small {SMALL_SIZE[0]})")
    add("--height", type=int, help=f"pixels (default {HEIGHT}, small {SMALL_SIZE[1]})")
    add("--frames", type=int, default=FRAMES, help="of the segment (default %(default)s)")
    add("--runs", type=int, default=5, help="of each stage; the median counts (default %(default)s)")
    add("--compiled", action="store_true", help="U-Net and decoder by torch.compile")
    add("--json", action="store_true", help="write the numbers as JSON")
    return parser


def settings_of(arguments: Sequence[str]) -> argparse.Namespace:
    """Options, with a size."""
    options = _parser().parse_args(arguments)
    size = SMALL_SIZE if options.small else (WIDTH, HEIGHT)
    options.width, options.height = options.width or size[0], options.height or size[1]
    return options


def main(arguments: Sequence[str]) -> int:
    """Measure and write; a user's mistake is one line on standard error and status 2."""
    options = settings_of(arguments)
    try:
        lines = list(_lines(options, arguments))
    except (ValueError, OSError) as error:
        _parser().error(str(error))
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _lines(options: argparse.Namespace, arguments: Sequence[str]) -> Iterator[str]:
    """What is written."""
    if options.beside is not None:
        if not (options.beside / "tooncrafter_core").is_dir():
            raise ValueError(f"{options.beside} has no tooncrafter_core; expected the root folder of a checkout")
        _, rest = _beside().parse_known_args(arguments)
        ours, theirs = (_of_checkout(folder, rest) for folder in (Path(__file__).resolve().parents[2], options.beside))
        yield from ratios(ours, theirs)
    elif options.json:
        yield json.dumps(measure(options))
    else:
        yield from table(measure(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
