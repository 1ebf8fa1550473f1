"""Settings far from those that the files behind a MODEL say they work best with: told before any step is taken."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io
from comfy_execution.graph import DynamicPrompt

from ...tooncrafter_core.files.working_settings import read_working_settings
from ..files import offered, path_of
from .page import tell_page

log = logging.getLogger(__name__)


def warn_if_far(graph: io.HiddenHolder, steps: int, guidance_scale: float, clean_end: bool) -> None:
    """Tell log and page where the nearest file on the node's `model` wire that says something says something else.

    The page's part is `web/warnings.js`.

    Args:
        graph: hidden inputs of a node: the prompt it is part of, and its id.
        steps: that it will take.
        guidance_scale: that it will take them with.
        clean_end: likewise.

    Raises:
        ValueError: a file's settings cannot be read.
    """
    for path in _files(graph.dynprompt, graph.unique_id):
        working = read_working_settings(path)
        if working is not None:
            if warning := working.warning(path.name, steps, guidance_scale, clean_end):
                log.warning("ToonCrafter Sampler: %s", warning)
                tell_page("tooncrafter.warning", {"text": warning})
            return


def _files(prompt: DynamicPrompt, node: str) -> Iterator[Path]:
    """Weight files from a node up its `model` wire, the nearest first."""
    wire = prompt.get_node(node)["inputs"].get("model")
    while isinstance(wire, list):
        inputs = prompt.get_node(wire[0])["inputs"]
        yield from _file_of(inputs)
        wire = inputs.get("model")


def _file_of(inputs: dict[str, Any]) -> Iterator[Path]:
    """The file that a node loads: a LoRA that is not turned off, or our Loader's checkpoint."""
    lora, checkpoint = inputs.get("lora_name"), inputs.get("checkpoint")
    if lora in folder_paths.get_filename_list("loras") and inputs.get("strength_model") != 0:
        yield Path(folder_paths.get_full_path_or_raise("loras", lora))
    if checkpoint in offered("checkpoints"):
        yield path_of("checkpoints", str(checkpoint))
