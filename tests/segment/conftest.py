"""Helpers of these tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for chat_server.py; pytest's importlib mode puts none on the path
