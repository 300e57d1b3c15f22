"""Components for other frameworks (LangChain, LlamaIndex). Each module serves one framework and imports no other."""
