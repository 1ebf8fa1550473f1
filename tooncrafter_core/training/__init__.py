"""The paper's trainings, at any size: `python -m tooncrafter_core.training NAME --config FILE`."""
