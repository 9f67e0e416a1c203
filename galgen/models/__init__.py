"""Generator/critic pairs: one folder each, and the module that trains any of them."""
