"""Run the environment's ComfyUI: `python main.py [ComfyUI's options]`.

ComfyUI imports torchvision, whose compiled operators do not load beside a torch built for the CPU only;
importing it then ends with "operator torchvision::nms does not exist". Declaring those operators is enough,
since nothing here calls them. With a torch that matches torchvision this runs ComfyUI as it is.
"""

import ctypes
import importlib.util
import runpy
import sys
from pathlib import Path

import torch

COMFYUI = Path(sys.prefix) / "comfyui"
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
    sys.path[0] = str(COMFYUI)
    sys.argv[0] = str(COMFYUI / "main.py")
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
