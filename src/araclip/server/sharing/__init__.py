"""What leaves a server together: several originals as one archive, links that show one search."""
