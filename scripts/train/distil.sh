#!/usr/bin/env bash
# Distil tooncrafter-tiny to four steps with the settings in assets/tooncrafter-tiny/recipe/distil: three trainings (two
# of them the rounds of one strategy), the table of both strategies, and packing. Each step goes on where it was broken
# off; runs of another tooncrafter-tiny are moved aside.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python="$(python3 scripts/environment.py)"
model=assets/tooncrafter-tiny/tooncrafter-tiny.safetensors
recipe=assets/tooncrafter-tiny/recipe/distil
run=~/.cache/tooncrafter-training/distil
# Memory that is given back to the system between steps has to be cleared again: a third of the time.
export MALLOC_TRIM_THRESHOLD_=20000000000 MALLOC_MMAP_THRESHOLD_=20000000000 OMP_NUM_THREADS=1

[ -e ~/.cache/tooncrafter-data/set/manifest.jsonl ] ||
    "$python" -m tooncrafter_core.data.build ~/.cache/tooncrafter-data/set
hash="$(sha256sum "$model" | cut -c 1-16)"
[ ! -e "$run/$hash" ] && [ -e "$run" ] && mv "$run" "$run-before-$hash"
mkdir -p "$run" && touch "$run/$hash"
for name in consistency progressive_1 progressive_2; do
    "$python" -m tooncrafter_core.training distil --config "$recipe/$name.json"
done
"$python" -m tooncrafter_core.evaluation.steps "$model" --out "$run/steps" \
    --lora consistency="$run/consistency/model.safetensors" progressive="$run/progressive_2/model.safetensors"
"$python" scripts/train/pack_lora.py "$run/consistency/model.safetensors"
