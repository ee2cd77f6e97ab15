"""The house rules: each is a function that takes a `SourceTree` and returns the places that break it

The notebooks are read by docs/extensions/notebook_file.py, as for the site.
"""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]/'docs'))
