"""The process behind `fragment_processes`: tasks come by stdin, fragments go to stdout."""

import sys
from contextlib import suppress

from araclip.bulk.shard_groups import fragment
from araclip.decoding_process import receive, send
from araclip.errors import AraCLIPError


def main() -> None:
    """Answer tasks until there are no more, or the process that asks is gone."""
    tasks, answers = sys.stdin.buffer, sys.stdout.buffer
    with suppress(OSError):
        while (asked := receive(tasks)) is not None:
            task, _ = asked
            try:
                found = fragment(task)
            except AraCLIPError as error:
                send(answers, {"error": type(error).__name__, "message": str(error)})
            else:
                send(answers, {}, [found])


if __name__ == "__main__":
    main()
