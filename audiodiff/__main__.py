"""``python -m audiodiff`` is the command ``audiodiff``."""

from audiodiff.cli import main

main()
