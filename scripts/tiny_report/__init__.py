"""The parts of `report_tiny.py`: which clips, what is measured on them, and how it is written down."""
