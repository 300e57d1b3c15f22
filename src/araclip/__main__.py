"""`python -m araclip`: runs the command line if the script `araclip` is not on the path."""

from araclip.cli import main

if __name__ == "__main__":
    main()
