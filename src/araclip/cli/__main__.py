"""`python -m araclip.cli`: runs the command line."""

from araclip.cli import main

main()
