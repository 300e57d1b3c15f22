"""Embed millions of pictures: their source (a folder, a bucket …) is cut into shards; each becomes one parquet file."""
