"""The graphs that are shipped in `workflows/`: what is in them, and what their notes say."""

from __future__ import annotations

from comfy_harness.examples import drawings, finishing, keyframes, stock
from comfy_harness.examples.example import Example


def examples() -> list[Example]:
    """All of them, the simplest first."""
    return [
        keyframes.quick_start(),
        keyframes.one_node(),
        keyframes.four_steps(),
        keyframes.published_weights(),
        keyframes.smaller_files(),
        drawings.sketch_guide(),
        keyframes.many_keyframes(),
        keyframes.loop(),
        keyframes.folder_of_keyframes(),
        finishing.retimed_shot(),
        finishing.seed_grid(),
        drawings.line_art(),
        drawings.colourise_sketches(),
        drawings.transparent_line_art(),
        drawings.hold_region(),
        stock.stock_ksampler(),
        stock.controlnet_chain(),
        finishing.upscale_chain(),
        keyframes.low_memory(),
    ]
