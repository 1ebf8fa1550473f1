"""The text and vision towers."""
