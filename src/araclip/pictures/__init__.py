"""Pictures: opened within limits, made the square that a model asks for, hashed, their facts and captions read."""
