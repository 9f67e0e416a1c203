"""Measuring galaxies on their pixels, as a catalogue does; knows neither networks nor scores."""
