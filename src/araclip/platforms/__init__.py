"""What differs between Linux, macOS and Windows: no other room asks which of them this is, or imports what one lacks.

`system` tells which it is; `locks`, `files` and `names` are about files; `processes`, `limits` and `signals` about
processes; `memory`, `libraries` and `sockets` about what the system offers. tests/test_platforms.py forces the branch
of each that this machine does not take.
"""
