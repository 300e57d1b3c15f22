"""Locks on files, which the system releases when their owner dies: flock, or a locked byte on Windows."""

from typing import IO

from araclip.platforms import system

LOCK_AT = 1 << 30  # the byte that Windows locks: beyond the text, since a locked one cannot be read by others


def try_lock(file: IO[bytes]) -> bool:
    """Lock an open file for this process alone; False where another one has it."""
    try:
        if system.windows():
            _lock_byte(file, lock=True)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def unlock(file: IO[bytes]) -> None:
    """Release the lock of `try_lock`."""
    if system.windows():
        _lock_byte(file, lock=False)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)


def _lock_byte(file: IO[bytes], *, lock: bool) -> None:
    import msvcrt

    file.seek(LOCK_AT)
    mode = msvcrt.LK_NBLCK if lock else msvcrt.LK_UNLCK  # type: ignore[attr-defined,unused-ignore]
    msvcrt.locking(file.fileno(), mode, 1)  # type: ignore[attr-defined,unused-ignore]
