"""`python -m araclip.cli`."""

from araclip.cli import main

main()
