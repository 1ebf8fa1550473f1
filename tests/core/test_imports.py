"""The core needs no ComfyUI: every module of it imports by itself where there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import tooncrafter_core

PACKAGE = Path(tooncrafter_core.__file__).parent

SCRIPT = """
import importlib, sys

HOST = {"comfy", "comfy_api", "comfy_extras", "nodes", "folder_paths", "node_helpers", "latent_preview", "server"}

class NoHost:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HOST:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, NoHost())
import tooncrafter_core  # what it imports comes first whichever module is imported, and is imported once
first = set(sys.modules)
for module in sys.argv[1:]:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tooncrafter_core" and name not in first]:
        del sys.modules[name]
    importlib.import_module(module)
    sys.stdout.write(module + "\\n")
found = sorted(name for name in sys.modules if name.partition(".")[0] in HOST)
assert not found, found
"""


def modules() -> list[str]:
    """All of them but `__main__`, which is a command."""
    return [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.stem != "__main__"
    ]


def in_a_fresh_process(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=120
    )


def test_every_module_imports_without_a_host() -> None:
    done = in_a_fresh_process(SCRIPT, *modules())
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == modules()
    assert len(modules()) > 20


def test_the_block_works() -> None:
    done = in_a_fresh_process(SCRIPT, "comfy.model_management")
    assert done.returncode != 0
    assert "comfy is blocked" in done.stderr
