"""Run another program with limits on Windows, where a process cannot set them between fork and exec.

    python -m araclip.platforms.limited KILOBYTES PROGRAM [ARGUMENT …]

It has the standard streams of this process and gives its exit code. When this process is ended, the program is, too.
"""

import subprocess
import sys

from araclip.platforms.jobs import own_job


def main() -> int:
    """Limit this process and what it starts, then start the program."""
    kilobytes, *command = sys.argv[1:]
    own_job().limit(memory=int(kilobytes) * 1024, end_children=True)
    return subprocess.run(command, stdin=sys.stdin, stdout=sys.stdout, stderr=sys.stderr, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
