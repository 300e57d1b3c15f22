"""Pictures: opened within limits, made the square that a model asks for, their facts and captions read; videos, OCR."""
