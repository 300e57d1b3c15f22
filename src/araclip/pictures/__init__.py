"""Opens pictures within limits, resizes them for models, reads their facts, captions and text (OCR); decodes videos."""
