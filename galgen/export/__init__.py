"""A model as a folder to share: weights, a card for programs, a page for people, and a picture.

The folder loads wherever a checkpoint does. It holds tensors, JSON, Markdown and a PNG: nothing
that runs, and nothing about the machine that it was made on.
"""

from galgen.export.facts import unsaid
from galgen.export.write import Sharing, card_of, export

__all__ = ["Sharing", "card_of", "export", "unsaid"]
