"""AraCLIP inside other people's frameworks. Nothing of theirs is imported before it is asked for."""
