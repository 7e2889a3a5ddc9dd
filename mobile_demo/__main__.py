"""`python -m mobile_demo [--server ADDRESS] [--folder FOLDER] [--size 390x780]`: the app in a window."""

from .start import run

if __name__ == "__main__":
    run()
