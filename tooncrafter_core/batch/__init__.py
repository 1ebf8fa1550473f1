"""Lists of shots, drawn one after another or on many devices: `python -m tooncrafter_core batch`.

`shots` reads the list, `results` knows what is drawn already, `work.py` draws, `runners` spread the work.
"""
