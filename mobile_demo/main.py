"""Where Android starts the app, and `python mobile_demo/main.py`.

There this folder is called `app` and isn't installed as a package, so it is imported by whatever name it has.
"""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    importlib.import_module(f"{HERE.name}.start").run()
