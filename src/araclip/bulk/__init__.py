"""Embed millions of pictures: the source (where they lie) is cut into shards; each shard becomes one parquet file."""
