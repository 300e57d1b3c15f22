"""The gallery's contract over a collection of a Qdrant server (extra `qdrant`)."""
