#!/usr/bin/env bash
# Run the demo in the local environment, making that environment first where needed.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="$(python3 "$root/scripts/environment.py")"
exec "$python" "$root/scripts/demo.py" "$@"
