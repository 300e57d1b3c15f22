"""The commands that fill a gallery: from folders, from shards, with the text in pictures."""
