"""A gallery in a collection of a Qdrant server (extra `qdrant`)."""
