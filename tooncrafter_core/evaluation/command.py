"""How the commands of this package end."""

from __future__ import annotations

import sys
from collections.abc import Callable


def exit_status(work: Callable[[], str]) -> int:
    """Do a command's work and print what comes of it: 0, or 2 and one line on standard error for a user's mistake."""
    try:
        text = work()
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 2
    sys.stdout.write(text)
    return 0
