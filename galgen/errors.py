"""One exception family, and the policy of which to raise.

Every message is one sentence that names the file or the option and the way out.

==================  =========  ==================================================
class               exit code  raise it when
==================  =========  ==================================================
`ConfigError`       2          an option, a YAML key or a combination of them is wrong
`DataError`         2          a file or folder of images cannot be used
`CheckpointError`   2          a checkpoint is missing, damaged or of another kind
`OutputError`       2          the result cannot be written
`GalgenError`       1          anything else that galgen itself got wrong
==================  =========  ==================================================

`ValueError` and `TypeError` stay for programming mistakes of library callers: a wrong
tensor shape, say. They are never shown to a user of the command without ``--debug``.
"""

from __future__ import annotations


class GalgenError(Exception):
    """Base of everything that galgen raises on purpose.

    Attributes
    ----------
    exit_code
        Of the command that it ends.
    agreed
        True where every replica raises it alike, so that the first one alone says it.
    """

    exit_code = 1
    agreed = False


class UserError(GalgenError):
    """A mistake that the user can mend; the command ends with exit code 2."""

    exit_code = 2


class ConfigError(UserError):
    """An option, a configuration key or a combination of them is wrong."""


class DataError(UserError):
    """A file or a folder of images cannot be used."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged or of another kind."""


class OutputError(UserError):
    """The result cannot be written where it was asked for."""
