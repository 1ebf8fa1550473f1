"""Trains the bundled model, its LoRA and variants, and packs them."""
