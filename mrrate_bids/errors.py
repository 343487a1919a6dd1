"""Every exception of the package, each with the exit code and the remedy it carries.

::

    MrRateError                exit 1   anything else
    ├── UsageError             exit 2   the command as given cannot work
    │   ├── SourceError                 SOURCE holds no release
    │   ├── SelectionError              --where, --shard, --study … make no sense
    │   ├── AccessError                 a server that wants to know who asks, or a closed folder
    │   └── ResourceError               weights, a template or a device that is not there
    ├── DataError              exit 3   one file, series or study is unusable; the rest goes on
    │   ├── NamingError                 a name outside the naming table
    │   ├── TableError                  a CSV that cannot be read as published
    │   ├── ArchiveError                a zip or folder that is not what it should be
    │   │   └── MemberError             one file of it
    │   ├── ImageError                  a truncated or unreadable image
    │   ├── NetworkError                a server that does not deliver
    │   │   ├── ChangedError            what is being read is replaced meanwhile
    │   │   ├── GoneError               a file that is not at the server, or no longer
    │   │   └── OutageError             nothing can be had any more; nothing more is attempted
    │   └── QualityError                a result that is not good enough to be passed on
    └── DestinationError       exit 3   the target cannot take files; nothing more is attempted
"""

__all__ = [
    'AccessError',
    'ArchiveError',
    'ChangedError',
    'DataError',
    'DestinationError',
    'GoneError',
    'ImageError',
    'MemberError',
    'MrRateError',
    'NamingError',
    'NetworkError',
    'OutageError',
    'QualityError',
    'ResourceError',
    'SelectionError',
    'SourceError',
    'TableError',
    'UsageError',
]


class MrRateError(Exception):
    """Root of the tree.

    Parameters
    ----------
    message
        What is wrong, and where.
    hint
        What to do next; the class's own hint when left out.
    """

    exit_code = 1
    default_hint = 'Run again with --debug and report the traceback.'

    def __init__(self, message: str, *, hint: str = '') -> None:
        super().__init__(message)
        self.hint = hint or self.default_hint


class UsageError(MrRateError):
    """The command as given cannot work."""

    exit_code = 2
    default_hint = 'See --help.'


class SourceError(UsageError):
    """SOURCE holds no release."""

    default_hint = 'Name the folder MR-RATE, or the folder that holds it.'


class SelectionError(UsageError):
    """A selection that makes no sense or names a column that does not exist."""

    default_hint = 'See --help for the columns that can be asked for.'


class AccessError(UsageError):
    """A server or a folder that gives nothing to somebody it does not know, or who may not.

    Parameters
    ----------
    message
        What is refused.
    hint
        How to get access.
    everything
        Whether nothing at all is given; else other files may be.
    """

    default_hint = 'Ask the owner of the server for access, and give your token with --token.'

    def __init__(self, message: str, *, hint: str = '', everything: bool = True) -> None:
        super().__init__(message, hint=hint)
        self.everything = everything


class ResourceError(UsageError):
    """Weights, a template or a device that the command needs and this machine does not have."""

    default_hint = 'Install or fetch it, or leave out the step that needs it.'


class DataError(MrRateError):
    """One file, series or study is unusable; the rest of the run goes on."""

    exit_code = 3
    default_hint = 'Fetch it again from the release.'


class NamingError(DataError):
    """A name that the naming table does not know."""

    default_hint = 'Compare the name with the naming table in the documentation.'


class TableError(DataError):
    """A CSV that cannot be read as published."""


class ArchiveError(DataError):
    """A zip or study folder that is not what it should be."""


class MemberError(ArchiveError):
    """One file of an archive that cannot be read or written.

    Parameters
    ----------
    message
        What is wrong.
    member
        The path of the file inside its study folder.
    hint
        What to do next.
    """

    def __init__(self, message: str, *, member: str = '', hint: str = '') -> None:
        super().__init__(message, hint=hint)
        self.member = member


class ImageError(DataError):
    """A truncated or unreadable image."""


class NetworkError(DataError):
    """A server that does not deliver, however often it is asked."""

    default_hint = 'Run the same command again: it goes on where it stopped.'


class ChangedError(NetworkError):
    """A file was replaced at the server while it was read."""


class GoneError(NetworkError):
    """A file that is not at the server, or no longer."""

    default_hint = 'Look at what the server lists; run the same command again for what is new.'


class OutageError(NetworkError):
    """One request after the other was in vain; nothing more is attempted."""


class QualityError(DataError):
    """A result that was computed and is not good enough to be passed on."""

    default_hint = 'Look at the image; leave it out, or give a result of your own (--derivatives).'


class DestinationError(MrRateError):
    """The target cannot take files; nothing more is attempted."""

    exit_code = 3
    default_hint = 'Make room or choose another folder, then run the same command again.'
