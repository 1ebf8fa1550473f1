"""Long and rough use of the nodes and the core, by hand; `tests` run the same parts with small numbers.

    python scripts/endure.py prompts    # 200 queued prompts on a real ComfyUI, a third of them interrupted
    python scripts/endure.py memory     # memory runs out at every place where a node takes some
    python scripts/endure.py kills      # writing is killed at any time
    python scripts/endure.py restarts   # the server is killed while it draws, and started again

With the bundled model. Servers of `comfy_harness` reach nothing but this machine. Status 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere

from comfy_harness import failing_allocations
from comfy_harness.prompts import BUNDLED_MODEL, BUNDLED_SKETCH_ENCODER, Prompt, changed, interpolation, with_sketches
from comfy_harness.server import ComfyServer
from endurance.allocations import fail_allocations
from endurance.kills import kill_writes
from endurance.prompts import endure_prompts
from endurance.restarts import kill_servers

from tooncrafter_core.evaluation.command import count

KEYFRAMES = ("tooncrafter_first.png", "tooncrafter_last.png")
NODES = ("loader", "sketch_loader", "encode", "guide", "sampler", "decode")
MOST_GROWTH = 1.02
"""Of the server's memory, from the middle of the prompts to their end."""

log = logging.getLogger("endure")


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--count", type=count, help="prompts, places of each node, kills of each kind, or restarts")
    parser.add_argument("--seed", type=int, default=0, help="of what is random (default %(default)s)")
    options = parser.parse_args()
    part, usual = PARTS[options.part]
    with tempfile.TemporaryDirectory() as folder:
        return 0 if part(Path(folder), options.count or usual, options.seed) else 1


def _prompt(seed: int) -> Prompt:
    """With a sketch, so that every model runs."""
    sizes, sampling = {"width": 128, "height": 64, "frames": 8, "fps": 24}, {"seed": seed, "steps": 2}
    plain = interpolation(KEYFRAMES, BUNDLED_MODEL, encode=sizes, sample={**sampling, "guidance_scale": 1.0})
    return with_sketches(plain, ["tooncrafter_sketch_07.png"], "4", BUNDLED_SKETCH_ENCODER)


def _prompts(folder: Path, count: int, seed: int) -> bool:
    larger = changed(_prompt(1), "encode", width=160, frames="5")
    with ComfyServer(folder) as server:
        found = endure_prompts(server, [_prompt(0), larger, changed(_prompt(2), "decode", two_pass=False)], count, seed)
    log.info("%d prompts, %d interrupted, %d wrong", found.prompts, found.interrupted, found.wrong)
    log.info("the server's memory over each fifth of them, MiB: %s", [round(bytes / 2**20) for bytes in found.fifths])
    return not found.wrong and found.fifths[4] <= MOST_GROWTH * found.fifths[2]


def _memory(folder: Path, count: int | None, seed: int) -> bool:
    with ComfyServer(folder, nodes=[Path(failing_allocations.__file__)]) as server:
        sites = list(fail_allocations(server, _prompt(0), NODES, count))
    for name in NODES:
        own = [site for site in sites if site.name == name]
        told, wrong = sum(site.message is not None for site in own), sum(not site.right for site in own)
        counts = (len(own), own[0].places, told, len(own) - told, wrong)
        log.info("%s: %d failures at %d places, %d told, %d survived; %d wrong", name, *counts)
    for site in sites:
        if not site.right:
            log.info("%s", site)
    return all(site.right for site in sites)


def _kills(folder: Path, count: int, seed: int) -> bool:
    bad = 0
    for name, killed, broken in kill_writes(folder, count, seed):
        log.info("%s: %d of %d killed before the end, %d not whole", name, killed, count, broken)
        bad += broken
    return not bad


def _restarts(folder: Path, count: int, seed: int) -> bool:
    right = list(kill_servers(folder, _prompt(0), count, seed))
    log.info("%d servers killed while they drew; %d gave other bits after it", count, right.count(False))
    return all(right)


PARTS = {"prompts": (_prompts, 200), "memory": (_memory, None), "kills": (_kills, 30), "restarts": (_restarts, 5)}

if __name__ == "__main__":
    sys.exit(main())
