"""One training run: settings, loop, averages, journal, checkpoints."""
