"""What `benchmark.py` is made of, and other counts and times of models."""
