"""ToonCrafter Seeds, Seed Sheet and Pick Seed: several seeds in one run, and the best of them goes on.

Seeds come out as a list, ComfyUI's own way to run the nodes behind once for each: any sampler, any decoder.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..tooncrafter_core.frames.sheets import variants_sheet
from ..tooncrafter_core.sampling.seeds import LARGEST, parse_seeds
from . import checks
from .types import CATEGORY

_SEEDS_TOOLTIP = "The list of ToonCrafter Seeds that the Sampler ran with."


class ToonCrafterSeeds(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterSeeds",
            display_name="ToonCrafter Seeds",
            category=CATEGORY,
            description="Several seeds for one run. Connect them to seed of the Sampler, or of any other: it and the "
            "nodes behind it run once for each seed.",
            inputs=[
                io.String.Input("seeds", default="0-3", tooltip="Seeds to try, such as 1, 2, 7-9; 64 at most."),
            ],
            outputs=[io.Int.Output(display_name="seeds", is_output_list=True, tooltip="For seed of a sampler.")],
        )

    @classmethod
    def execute(cls, seeds: str) -> io.NodeOutput:
        checks.widgets(cls, {"seeds": seeds})
        return io.NodeOutput(parse_seeds(seeds))


class ToonCrafterSeedSheet(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterSeedSheet",
            display_name="ToonCrafter Seed Sheet",
            category=CATEGORY,
            description="What came of several seeds as one picture: a row for each, with a few of its frames.",
            is_input_list=True,
            inputs=[
                io.Int.Input("seeds", force_input=True, tooltip=_SEEDS_TOOLTIP),
                io.Image.Input("frames", tooltip="Frames that were decoded for each seed."),
                io.Int.Input(
                    "shown", default=5, min=1, max=64, tooltip="Frames of each seed that are shown, evenly spread."
                ),
            ],
            outputs=[io.Image.Output(display_name="sheet", tooltip="One picture.")],
        )

    @classmethod
    def execute(cls, seeds: list[int], frames: list[Tensor], shown: list[int]) -> io.NodeOutput:
        checks.widgets(cls, {"shown": checks.single("shown", shown, "seeds and frames")})
        _check_counts(seeds, frames=frames)
        clips = [checks.pictures(batch, "frames") for batch in frames]
        sheet = variants_sheet(clips, [f"seed {seed}" for seed in seeds], shown[0])
        return io.NodeOutput(sheet.movedim(0, -1)[None])


class ToonCrafterPickSeed(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ToonCrafterPickSeed",
            display_name="ToonCrafter Pick Seed",
            category=CATEGORY,
            description="Goes on with one of several seeds. Another choice does not sample again.",
            is_input_list=True,
            inputs=[
                io.Int.Input("seeds", force_input=True, tooltip=_SEEDS_TOOLTIP),
                io.Latent.Input("latents", tooltip="Latents of each seed, from the Sampler."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=LARGEST,
                    control_after_generate=False,  # the page would choose another, which did not run
                    tooltip="The seed to go on with.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="Latents of that seed.")],
        )

    @classmethod
    def execute(cls, seeds: list[int], latents: list[dict[str, Any]], seed: list[int]) -> io.NodeOutput:
        checks.widgets(cls, {"seed": checks.single("seed", seed, "seeds and latents")})
        _check_counts(seeds, latents=latents)
        for each in latents:
            checks.latent(each, "latents")
        if seed[0] not in seeds:
            raise ValueError(f"seed is {seed[0]}; expected one of those that ran: {', '.join(map(str, seeds))}")
        return io.NodeOutput(latents[seeds.index(seed[0])])


def _check_counts(seeds: list[int], **results: list[Any]) -> None:
    """Raise ValueError unless these are seeds, and there is a result of each."""
    if not all(isinstance(seed, Integral) and not isinstance(seed, bool) for seed in seeds):
        raise ValueError("seeds holds what is no whole number; expected seeds. Connect ToonCrafter Seeds to seeds.")
    for name, found in results.items():
        if len(found) != len(seeds):
            raise ValueError(
                f"{len(seeds)} seeds but {len(found)} {name}; connect the same ToonCrafter Seeds here and to seed of "
                "the Sampler"
            )
