"""Readings of a query's words: spelling, dialects and Arabizi, each with a confidence. Pure."""
