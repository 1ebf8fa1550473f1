"""A CLIP model of `transformers` from a local folder, for the stages that ask one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..film import Frames


class ClipModel:
    """Embeddings of length 1.

    Raises:
        ValueError: the folder cannot be used.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        from transformers import CLIPModel, CLIPProcessor

        try:
            self._model = CLIPModel.from_pretrained(folder, local_files_only=True).to(device).eval()
            self._processor = CLIPProcessor.from_pretrained(folder, local_files_only=True, use_fast=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder} holds no CLIP model of transformers with its processor: {error}") from error
        self.width = self._model.config.projection_dim
        self._device = device

    @torch.inference_mode()
    def pictures(self, pictures: Frames) -> Tensor:
        """(n, H, W, 3) to (n, d)"""
        inputs = self._processor(images=list(pictures), return_tensors="pt").to(self._device)
        return torch.nn.functional.normalize(self._model.get_image_features(**inputs).float(), dim=-1).cpu()

    @torch.inference_mode()
    def text(self, text: str) -> Tensor:
        """(d,)"""
        inputs = self._processor(text=[text], return_tensors="pt", truncation=True).to(self._device)
        return torch.nn.functional.normalize(self._model.get_text_features(**inputs).float(), dim=-1)[0].cpu()
