"""AraCLIP as a component of other frameworks, one module a framework; a module imports only its own framework."""
