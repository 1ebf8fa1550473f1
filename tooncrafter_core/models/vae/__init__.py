"""The image autoencoder and its dual-reference 3D decoder."""
