"""The libraries that measures are held against import torchvision, which the tests' torch may not fit."""

from comfy_harness.main import declare_operators

declare_operators()
