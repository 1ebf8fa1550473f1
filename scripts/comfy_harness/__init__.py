"""A real ComfyUI for tests and scripts: its server, its page in a browser, prompts and example graphs."""
