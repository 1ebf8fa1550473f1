"""The video U-Net, the sketch encoder that steers it, and the projector of image tokens."""
