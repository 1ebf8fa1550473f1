"""One training run: loop, averages, journal, checkpoints."""
