"""How much of a picture is text, by a text detector's file that OpenCV runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..film import Frames
from ..settings import TextArea
from ..store import Result
from ..views import Views

_SIDE = 384
"""px of the shorter side that the detector sees; both are multiples of 32."""
_PROBABLE = 0.3
_UNCLIP = 1.5
"""The detector draws text narrower than it is: by area times this over circumference (Liao et al. 2020, eq. 10)."""


def measurer(settings: TextArea, device: torch.device) -> Callable[[Views, dict[str, Result]], Result]:
    """What measures one stretch: `text`, the largest share of one of its pictures. OpenCV works on the CPU.

    Raises:
        ValueError: OpenCV cannot read the detector's file.
    """
    import cv2

    cv2.setNumThreads(1)
    try:
        network = cv2.dnn.readNet(str(settings.detector))
    except cv2.error as error:
        raise ValueError(f"{settings.detector} cannot be read by OpenCV ({error}); expected an .onnx file") from error

    def measure(views: Views, _: dict[str, Result]) -> Result:
        return {"text": round(max(share(_detect(network, picture)) for picture in views.pictures), 5)}

    return measure


def fault(result: Result, settings: TextArea) -> str | None:
    """`text` or None."""
    return "text" if result["text"] > settings.most else None


def share(probable: np.ndarray) -> float:
    """Share of a picture that is covered by text, from the detector's map (H, W) of probabilities."""
    import cv2

    mask = (probable > _PROBABLE).astype(np.uint8)
    covered = np.zeros_like(mask)
    for contour in cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
        left, top, width, height = cv2.boundingRect(contour)
        more = round(_UNCLIP * width * height / (2 * (width + height)))
        covered[max(0, top - more) : top + height + more, max(0, left - more) : left + width + more] = 1
    return float(covered.mean())


def _detect(network, picture: Frames) -> np.ndarray:  # type: ignore[no-untyped-def]
    import cv2

    scale = _SIDE / min(picture.shape[:2])
    width, height = (32 * max(1, round(side * scale / 32)) for side in (picture.shape[1], picture.shape[0]))
    blob = cv2.dnn.blobFromImage(picture, 1 / 127.5, (width, height), (127.5, 127.5, 127.5), swapRB=True)
    network.setInput(blob)
    return np.asarray(network.forward())[0, 0]
