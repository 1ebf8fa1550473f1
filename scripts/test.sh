#!/usr/bin/env bash
# Check the style and the types and run the tests; arguments go to pytest.
set -euo pipefail

has_chromium() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
} > /dev/null

# The tests of ComfyUI's page need a browser.
provide_chromium() {
    if has_chromium; then
        return
    fi
    if [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
        echo "Installing Chromium for the tests of ComfyUI's page" >&2
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium > /dev/null
    else
        echo "There is no Chromium here: the tests of ComfyUI's page will be skipped" >&2
    fi
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="$(python3 scripts/environment.py)"
provide_chromium
"$python" -m ruff format --check .
"$python" -m ruff check .
"$python" -m mypy
# One thread for each of two at a time: more of them than cores wait for each other.
export OMP_NUM_THREADS=1
"$python" -m pytest -n 2 --dist loadfile "$@"  # two at a time; a file's tests share its server
