"""The gallery's contract over a Qdrant collection (extra `qdrant`), for more machines or pictures than one folder serves."""
