"""Put a trained small model into assets/tooncrafter-tiny, as the Loader offers it.

    python scripts/pack_tiny.py [--run FOLDER]

Takes `decoder/model.safetensors` (the last training that changes the model) and `sketch/model.safetensors` of the run,
and writes them in float16.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs from anywhere

from tooncrafter_core.files.checkpoint import read_checkpoint
from tooncrafter_core.training.run.export import write_checkpoint

TINY = Path(__file__).resolve().parents[1] / "assets" / "tooncrafter-tiny"
LIMIT = 40e6

log = logging.getLogger("pack_tiny")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("~/.cache/tooncrafter-training/tiny").expanduser())
    run = parser.parse_args().run
    pack(run / "decoder" / "model.safetensors", TINY / "tooncrafter-tiny.safetensors")
    pack(run / "sketch" / "model.safetensors", TINY / "tooncrafter-tiny-sketch.safetensors")
    size = sum(file.stat().st_size for file in TINY.glob("*.safetensors"))
    if size > LIMIT:
        raise SystemExit(f"the two files take {size / 1e6:.1f} MB; expected at most {LIMIT / 1e6:.0f}")


def pack(trained: Path, packed: Path) -> None:
    """Write a checkpoint's tensors in float16, and read the result as the Loader does."""
    write_checkpoint({name: tensor.half() for name, tensor in load_file(trained).items()}, packed)
    log.info(read_checkpoint(packed).report())


if __name__ == "__main__":
    main()
