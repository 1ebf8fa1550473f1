#!/usr/bin/env bash
# Train the variants II to V of toon rectification (I is none) from the small model's interpolation prior, each with the
# settings in assets/tooncrafter-tiny/recipe/variant_IV.json. Needs what the first two trainings of train_tiny.sh made.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="$(python3 scripts/environment.py)"
mkdir -p ~/.cache/tooncrafter-training/tiny
# Memory that is given back to the system between steps has to be cleared again: a third of the time.
export MALLOC_TRIM_THRESHOLD_=20000000000 MALLOC_MMAP_THRESHOLD_=20000000000
for variant in II III IV V; do
    config=~/.cache/tooncrafter-training/tiny/variant_$variant.json
    sed "s/IV\",\$/$variant\",/" assets/tooncrafter-tiny/recipe/variant_IV.json > "$config"
    "$python" -m tooncrafter_core.training rectify --config "$config"
done
