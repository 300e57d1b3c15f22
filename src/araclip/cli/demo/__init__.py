"""The sample gallery on the command line."""
