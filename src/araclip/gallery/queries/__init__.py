"""Queries: parsed, interpreted and completed; what they exclude, which texts answer them, why a picture was found."""
