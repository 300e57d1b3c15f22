"""`python -m araclip`: runs the command line, as the script `araclip` does."""

from araclip.cli import main

if __name__ == "__main__":
    main()
