"""Makes ComfyUI's own objects (MODEL, CLIP, CLIP_VISION, VAE, CONTROL_NET) out of the core's models."""
