"""Embed millions of pictures with Ray Data: a source becomes shards, parquet files of vectors, that fill galleries."""
