"""From noise to latents: schedule, guidance, DDIM and the guided denoiser."""
