"""Word to the page that queued the prompt."""

from __future__ import annotations

from typing import Any

from server import PromptServer


def tell_page(event: str, told: dict[str, Any]) -> None:
    """Send an event that a script in `web/` listens to; other pages, and prompts sent by programs, miss nothing."""
    server = PromptServer.instance
    server.send_sync(event, told, server.client_id)
