"""Ends a process with all that it has started, also where its parent dies first."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
from contextlib import suppress

log = logging.getLogger(__name__)


def die_with_parent() -> None:
    """In the child: have Linux kill it when its parent dies in a way that runs no clean-up."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def end(process: subprocess.Popen[bytes], patience: float = 10) -> None:
    """End a process and all of its group: first by asking, then by force."""
    signal_group(process, signal.SIGTERM)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        log.warning("ComfyUI does not end by itself and is killed")
    signal_group(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a process and all of its group; Windows knows no groups, and ends the process."""
    if os.name == "nt":
        process.kill()
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
