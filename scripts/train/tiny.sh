#!/usr/bin/env bash
# Train tooncrafter-tiny with the settings in assets/tooncrafter-tiny/recipe: data set, eight trainings, packing. Each step
# goes on where it was broken off. Hours on two CPU cores; what it makes outside the repository is in ~/.cache.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python="$(python3 scripts/environment.py)"
recipe=assets/tooncrafter-tiny/recipe
# Memory that is given back to the system between steps has to be cleared again: a third of the time.
export MALLOC_TRIM_THRESHOLD_=20000000000 MALLOC_MMAP_THRESHOLD_=20000000000

[ -e ~/.cache/tooncrafter-data/set/manifest.jsonl ] || "$python" -m tooncrafter_core.data.build ~/.cache/tooncrafter-data/set
"$python" -m tooncrafter_core.training autoencoder --config "$recipe/1_autoencoder.json"
"$python" -m tooncrafter_core.training base --config "$recipe/2_base.json"
"$python" -m tooncrafter_core.training rectify --config "$recipe/3_rectify.json"
"$python" -m tooncrafter_core.training base --config "$recipe/4_motion.json"
"$python" -m tooncrafter_core.training rectify --config "$recipe/5_rectify_again.json"
"$python" -m tooncrafter_core.training base --config "$recipe/6_drawn.json"
"$python" -m tooncrafter_core.training decoder --config "$recipe/7_decoder.json"
"$python" -m tooncrafter_core.training sketch --config "$recipe/8_sketch.json"
"$python" scripts/train/pack_tiny.py
