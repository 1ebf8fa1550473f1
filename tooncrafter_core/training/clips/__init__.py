"""Clips to train on: their list, a stream of drawn samples, batches, a cache of latents."""
