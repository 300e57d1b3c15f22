"""Embedding pictures by the million: a source is cut into shards, and each becomes one parquet file, exactly once."""
