"""`python -m coatcheck` is `coatcheck`."""

from .cli import main

main()
