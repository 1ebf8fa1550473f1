"""Long and rough use: many prompts, interruptions, kills, memory that runs out. `endure.py` runs it by hand."""
