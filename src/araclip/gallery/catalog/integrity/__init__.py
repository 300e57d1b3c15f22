"""The integrity of a catalogue: checksums of rows, the seal of the last commit, damage found, what is salvaged."""
