"""The base of all other packages: files and processes on each system, bounded readers, child processes, safe
display."""
