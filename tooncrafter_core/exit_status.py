"""What a command tells the shell, beside the 0, 1 and 2 that each command explains itself."""

INTERRUPTED = 130
"""Ctrl-C has ended it, as shells have it."""
