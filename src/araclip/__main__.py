"""`python -m araclip`: the command line where no script `araclip` is on the path."""

from araclip.cli import main

if __name__ == "__main__":
    main()
