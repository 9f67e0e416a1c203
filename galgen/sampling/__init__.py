"""A set of generated galaxies as files, of any length, that can be gone on with at any moment."""
