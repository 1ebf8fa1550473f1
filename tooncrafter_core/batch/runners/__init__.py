"""Who draws the shots: workers on Ray, or servers of ComfyUI."""
