"""The server: a gallery over HTTP, with the page that searches it. docs/server.md is the guide."""
