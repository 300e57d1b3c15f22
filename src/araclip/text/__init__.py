"""Arabic text: normalises it for models, and understands typed queries (dialects, spelling, dates, exclusions)."""
