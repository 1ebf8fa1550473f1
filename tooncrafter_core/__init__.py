"""ToonCrafter in plain PyTorch: keyframes in, the frames between them out.

`interpolate` is the whole way; every stage of it is a module of this package. Nothing here imports ComfyUI.
"""

from .files.checkpoint import CheckpointError, read_checkpoint
from .pipeline import interpolate
from .redo import Redo
from .settings import Settings
from .sketches.placed import Sketch
from .toon_crafter import ToonCrafter

__all__ = ["CheckpointError", "Redo", "Settings", "Sketch", "ToonCrafter", "interpolate", "read_checkpoint"]
