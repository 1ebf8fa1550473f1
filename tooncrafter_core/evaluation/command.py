"""How the commands of this package begin and end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from ..inputs import INTERRUPTED

_MOST_THREADS = 1024


def threads(text: str) -> int:
    """The number in `--threads`, for argparse."""
    count = int(text)
    if not 1 <= count <= _MOST_THREADS:
        raise argparse.ArgumentTypeError(f"it is {text}; expected 1 to {_MOST_THREADS}")
    return count


def exit_status(work: Callable[[], str]) -> int:
    """Do a command's work and print what comes of it: 0, 2 and one line on standard error for a user's mistake, or 130
    after Ctrl-C."""
    try:
        text = work()
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the files that are written are whole\n")
        return INTERRUPTED
    sys.stdout.write(text)
    return 0
