"""By what a result is known: a digest of everything it depends on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ...files.whole import check_replaceable, file_digest, written_whole
from ...settings import VERSION
from ..shots.shot import Shot

_DIGEST = re.compile("[0-9a-f]{64}")


def shot_key(shot: Shot, weights: Sequence[str]) -> str:
    """The digest of a shot's pictures, settings and weights. Its name, and where its files lie, are not in it.

    Args:
        shot: the shot.
        weights: what stands for the model: digests of its files, its dtype.

    Returns:
        32 hexadecimal digits

    Raises:
        OSError: a picture cannot be read.
    """
    given = asdict(shot)
    del given["name"]
    given["keyframes"] = [file_digest(file) for file in shot.keyframes]
    given["sketches"] = [[each.frame, each.strength, file_digest(each.picture)] for each in shot.sketches]
    text = json.dumps([VERSION, list(weights), given], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class WeightDigests:
    """Digests of weight files, each read whole once.

    A header or a sample would be quicker and could miss a change: a file that was trained further has the same header,
    and a merged LoRA changes some tensors only. So all bytes count, and what they came to is kept beside the results
    for a file of the same path, size and time of change.

    Args:
        kept: where they are kept.
    """

    def __init__(self, kept: Path) -> None:
        self._kept = kept

    def check(self) -> None:
        """Raise ValueError where they cannot be kept, or something else is in their place."""
        told = "is not, or no longer, a list of weight files' digests, and would be lost"
        check_replaceable(self._kept, bool(self._read()), told)

    def of(self, path: Path) -> str:
        """The digest of a file.

        Raises:
            OSError: it cannot be read.
        """
        status = path.resolve().stat()
        mark = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
        known = self._read()
        if mark not in known:
            known[mark] = file_digest(path)
            with written_whole(self._kept) as unfinished:
                unfinished.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        return known[mark]

    def _read(self) -> dict[str, str]:
        try:
            known = json.loads(self._kept.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):  # not there, damaged, or somebody else's
            return {}
        ours = isinstance(known, dict) and all(_DIGEST.fullmatch(str(each)) for each in known.values())
        return known if ours else {}
