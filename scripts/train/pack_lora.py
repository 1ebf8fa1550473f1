"""Put a distilled LoRA into assets/tooncrafter-tiny/loras, where Load LoRA offers it.

    python scripts/train/pack_lora.py ~/.cache/tooncrafter-training/distil/consistency/model.safetensors

Takes the checkpoint of the training `distil`, with the steps it was trained for, and writes it in float16.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tooncrafter_core.evaluation.command import exit_status
from tooncrafter_core.files.working_settings import read_working_settings
from tooncrafter_core.training.run.export import write_checkpoint
from tooncrafter_core.training.run.low_rank import read_lora, to_tensors

PACKED = Path(__file__).resolve().parents[2] / "assets/tooncrafter-tiny/loras/tooncrafter-tiny-4steps.safetensors"
LIMIT = 4e6

log = logging.getLogger("pack_lora")


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lora", type=Path, help="model.safetensors of a training")
    parser.add_argument("--out", type=Path, default=PACKED, help="(default %(default)s)")
    options = parser.parse_args()
    return exit_status(lambda: pack(options.lora, options.out))


def pack(lora: Path, packed: Path) -> None:
    """Write a training's LoRA in float16, and read the result again."""
    tensors = to_tensors(read_lora(lora))
    packed.parent.mkdir(parents=True, exist_ok=True)
    halved = {name: tensor.half() for name, tensor in tensors.items()}
    write_checkpoint(halved, packed, read_working_settings(lora))
    size = packed.stat().st_size
    log.info("%s: %d layers, %.2f MB", packed, len(read_lora(packed)), size / 1e6)
    if size > LIMIT:
        raise SystemExit(f"the file takes {size / 1e6:.2f} MB; expected at most {LIMIT / 1e6:.0f}")


if __name__ == "__main__":
    sys.exit(main())
