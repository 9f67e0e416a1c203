"""The command ``galgen``: parses, calls the library, prints."""
