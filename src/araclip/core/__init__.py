"""What every room stands on: files and processes where systems differ, bounded readers, child processes, display."""
