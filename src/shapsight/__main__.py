"""`python -m shapsight` is the command `shapsight`."""

from shapsight.cli import main

main()
