#!/usr/bin/env bash
# Train the variants of the paper's Tables 3 and 4 from the small model that is shipped: II to V of toon rectification (I is
# none) on characters, and a 3D decoder with and without references and temporal layers, from one image autoencoder that
# is trained from the shipped one first. Settings: assets/tooncrafter-tiny/recipe/variants. Each step goes on where it was broken off.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python="$(python3 scripts/environment.py)"
recipe=assets/tooncrafter-tiny/recipe/variants
run=~/.cache/tooncrafter-training/variants
mkdir -p "$run"
# Memory that is given back to the system between steps has to be cleared again: a third of the time.
export MALLOC_TRIM_THRESHOLD_=20000000000 MALLOC_MMAP_THRESHOLD_=20000000000

[ -e ~/.cache/tooncrafter-data/set/manifest.jsonl ] || "$python" -m tooncrafter_core.data.build ~/.cache/tooncrafter-data/set
[ -e "$run/start.safetensors" ] || cp assets/tooncrafter-tiny/tooncrafter-tiny.safetensors "$run/start.safetensors"
for variant in II III IV V; do
    sed "s/rectification_IV/rectification_$variant/; s/\"variant\": \"IV\"/\"variant\": \"$variant\"/" \
        "$recipe/rectification.json" > "$run/rectification_$variant.json"
    "$python" -m tooncrafter_core.training rectify --config "$run/rectification_$variant.json"
done
"$python" -m tooncrafter_core.training autoencoder --config "$recipe/autoencoder.json"
for variant in none references temporal both; do
    sed "s/decoder_both/decoder_$variant/" "$recipe/decoder.json" > "$run/decoder_$variant.json"
    case "$variant" in none | temporal) sed -i 's/"references": true/"references": false/' "$run/decoder_$variant.json" ;; esac
    case "$variant" in none | references) sed -i 's/"temporal": true/"temporal": false/' "$run/decoder_$variant.json" ;; esac
    "$python" -m tooncrafter_core.training decoder --config "$run/decoder_$variant.json"
done
