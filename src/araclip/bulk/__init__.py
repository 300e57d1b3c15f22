"""Embed pictures by the million: a source is cut into shards, and each shard becomes one parquet file, exactly once."""
