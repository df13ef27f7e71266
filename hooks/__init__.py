"""One file a hook: its name, its events, its properties, its rewrite. A new file here is all that a new hook takes."""
