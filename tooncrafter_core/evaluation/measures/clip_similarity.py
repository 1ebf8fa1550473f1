"""Similarity in CLIP's joint space of pictures and texts (Radford et al. 2021), with a complete checkpoint's towers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...files.checkpoint import PREFIXES, Checkpoint, read_checkpoint, to_core_name
from ...files.tokenizer import tokenize
from ...models.clip.text_tower import TextTower
from ...models.clip.vision_tower import VisionTower, preprocess
from .measure import Measure, Truth

_BATCH = 16
_HEAD = {
    "text": "cond_stage_model.model.text_projection",
    "vision": "embedder.model.visual.proj",
    "weight": "embedder.model.visual.ln_post.weight",
    "bias": "embedder.model.visual.ln_post.bias",
}
"""What comes after the towers that condition the denoiser: norm and projections into the joint space."""


class ClipTowers:
    """Both towers with their projections; the text tower with its last block, which the denoiser does without.

    Raises:
        CheckpointError: the file cannot be used.
        ValueError: it lacks the towers, or what follows them.
    """

    def __init__(self, path: Path) -> None:
        checkpoint = read_checkpoint(path)
        if lacking := [part for part in ("text", "vision") if part not in checkpoint.parts]:
            raise ValueError(f"{path.name} has no {' and no '.join(lacking)} tower; expected the complete model.ckpt")
        if missing := [name for name in _HEAD.values() if name not in checkpoint.tensors]:
            raise ValueError(
                f"{path.name} has the towers, but not what CLIP's similarity needs after them: {', '.join(missing)}. "
                "The published model.ckpt has them; files made smaller often do not"
            )
        self._head = {name: checkpoint.tensors[full].float() for name, full in _HEAD.items()}
        self._text = _whole_text_tower(checkpoint)
        vision = checkpoint.load("vision").float()
        if not isinstance(vision, VisionTower):
            raise TypeError(f"the checkpoint's vision tower is a {type(vision).__name__}")
        self._vision = vision

    @torch.inference_mode()
    def of_pictures(self, pictures: Tensor) -> Tensor:
        """Pictures (n, 3, H, W) in [0, 1], stretched to the tower's square -> unit vectors (n, d)."""
        head, size = self._head, self._vision.config.image_size
        rows = []
        for batch in pictures.split(_BATCH):
            tokens = self._vision(preprocess(batch * 2 - 1, size))[:, 0]
            rows.append(F.layer_norm(tokens, tokens.shape[-1:], head["weight"], head["bias"]) @ head["vision"])
        return F.normalize(torch.cat(rows), dim=-1)

    @torch.inference_mode()
    def of_text(self, prompt: str) -> Tensor:
        """The first 75 tokens of a prompt -> a unit vector (d,)."""
        tokens = tokenize(prompt)[:1]
        end = int(tokens.argmax())
        return F.normalize(self._text(tokens)[0, end] @ self._head["text"], dim=-1)


def image_measure(towers: ClipTowers) -> Measure:
    """Cosine of each in-between with its true frame."""

    def values(frames: Tensor, truth: Truth) -> Tensor:
        return (towers.of_pictures(frames[1:-1]) * towers.of_pictures(truth.frames[1:-1])).sum(dim=-1)

    return Measure("CLIP, frame", "higher", "Cosine of CLIP's vectors of drawn and true frame.", values)


def text_measure(towers: ClipTowers) -> Measure:
    """Cosine of each in-between with the clip's prompt."""

    def values(frames: Tensor, truth: Truth) -> Tensor:
        return towers.of_pictures(frames[1:-1]) @ towers.of_text(truth.prompt)

    about = "Cosine of CLIP's vectors of the drawn frame and the clip's prompt."
    return Measure("CLIP, prompt", "higher", about, values, of_truth=True)


def _whole_text_tower(checkpoint: Checkpoint) -> TextTower:
    """The text tower with the last block, which `TextTower` leaves out of the number its config says."""
    config = checkpoint.config.text
    if config is None:
        raise ValueError(f"{checkpoint.path.name} has no text tower")
    prefix = PREFIXES["text"]
    tower = TextTower(replace(config, layers=config.layers + 1))
    wanted = tower.state_dict()
    found = {to_core_name(name): t for name, t in checkpoint.published_part(prefix).items()}
    _check_has(found, wanted, checkpoint.path)
    tower.load_state_dict({name: found[name] for name in wanted})
    return tower.eval().requires_grad_(False)


def _check_has(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> None:
    if missing := [name for name in wanted if name not in found or found[name].shape != wanted[name].shape]:
        raise ValueError(
            f"{path.name} lacks {len(missing)} tensors of its text tower that CLIP's similarity needs, such as "
            f"{missing[0]}: the last block, which the denoiser does without. The published model.ckpt has it"
        )
