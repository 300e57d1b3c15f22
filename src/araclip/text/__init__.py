"""Arabic text: its normalisation for models. What else is understood of typed queries belongs here."""
