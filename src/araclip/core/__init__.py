"""The base of all other packages: files, processes, bounded readers, child processes, display of untrusted text."""
