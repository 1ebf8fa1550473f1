"""What a shipped workflow is: its graph, and the note that says what it does and needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from comfy_harness.prompts import BUNDLED_MODEL, Prompt
from tooncrafter_core import published

ModelFile = published.PublishedFile
"""A file that a workflow needs; without an address any file of its kind will do."""

_PUBLISHED_MEMORY = (
    "Counted for 512 x 320 pixels and fp16, not yet measured on a card: weights 2.9 GiB, sampling 0.8 GiB more, "
    "decoding 1.2 to 3.8 GiB. Where a card has less, ComfyUI keeps weights in main memory and decoding works in parts."
)


@dataclass(frozen=True)
class Example:
    """One workflow.

    Attributes:
        name: of its file.
        title: of its note.
        does: what it does and how to change it.
        files: what it needs.
        prompt: the graph in API form.
        titles: titles of nodes, by their names in `prompt`; others keep their own.
        memory: what to expect on a graphics card.
        folded: whether all between the pictures and the result is one node, as in `subgraphs/`.
    """

    name: str
    title: str
    does: str
    files: Sequence[ModelFile]
    prompt: Prompt
    titles: Mapping[str, str] = field(default_factory=dict)
    memory: str = _PUBLISHED_MEMORY
    folded: bool = False

    @property
    def note(self) -> str:
        """Markdown; headings are what can be read when the whole graph is in view."""
        files = "\n".join(_line(file) for file in self.files) or "Nothing to download."
        does = "\n\n".join(f"### {paragraph}" for paragraph in self.does.split("\n\n"))
        parts = [f"# {self.title}", does, "## Files", files, *self._without_download(), "## Memory", self.memory]
        return "\n\n".join(parts)

    def _without_download(self) -> list[str]:
        """How the workflow runs with the small model that comes with the nodes; nothing where it does so anyway."""
        loaders = {made["class_type"] for made in self.prompt.values()}
        if not self.files:
            return []
        if "CLIPLoader" in loaders:
            return ["## Without a download", "See published_weights: the small model has towers of its own."]
        text = f"Choose {BUNDLED_MODEL} in ToonCrafter Loader: it sets the other nodes for itself and 128 x 64 pixels."
        by_hand = [hint for kind, hint in _BY_HAND.items() if kind in loaders]
        return ["## Without a download", " ".join([text, *by_hand])]

    def models(self, name: str) -> list[dict[str, str]]:
        """What ComfyUI's page offers to download when the file that a node names is missing."""
        chosen = self.prompt[name]["inputs"].values()
        return [
            {"name": file.name, "url": file.address, "directory": file.folder}
            for file in self.files
            if file.address and file.name in chosen and _LOADS[self.prompt[name]["class_type"]] == file.folder
        ]


_BY_HAND = {
    "ControlNetApplyAdvanced": "Bypass Apply ControlNet, whose ControlNet is for Stable Diffusion 2.x.",
    "ImageUpscaleWithModel": "Bypass Upscale Image (using Model), which needs a file.",
    "ImageScale": "Set Upscale Image to that size.",
}
"""What is left to do with some nodes."""

_LOADS = {
    "ToonCrafterLoader": "checkpoints",
    "ToonCrafterSketchEncoderLoader": "controlnet",
    "CLIPLoader": "text_encoders",
    "CLIPVisionLoader": "clip_vision",
}
"""The folder of ComfyUI's models that a node reads from."""


def _line(file: ModelFile) -> str:
    """Markdown."""
    shown = f"[{file.name}]({file.address})" if file.address else file.name
    return f"- {shown} into models/{file.folder}: {file.about}"
