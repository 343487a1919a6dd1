"""Which bytes of a zip to ask for: those of the members that are wanted, neighbours together.

>>> join([Span(0, 100), Span(100, 250), Span(5000, 5010)])
[Span(start=0, stop=250), Span(start=5000, stop=5010)]
"""

from collections.abc import Iterable
from typing import NamedTuple

from mrrate_bids.archives import Member

__all__ = ['Span', 'join', 'spans_of']

_HEADER = 30
_SLACK = 256  # for the extra fields of a local header, which the directory does not tell
_WASTE = 0.01


class Span(NamedTuple):
    """Bytes of a file, from *start* up to *stop*."""

    start: int
    stop: int


def join(spans: Iterable[Span]) -> list[Span]:
    """Make one span of neighbours, when next to nothing lies between them.

    A gap costs its bytes, a request the time to the server and back: a hundredth of what is wanted
    may be in vain.
    """
    joined: list[Span] = []
    for span in sorted(spans):
        last = joined[-1] if joined else None
        if last and span.start - last.stop <= _WASTE * (span.stop - last.start):
            joined[-1] = Span(last.start, max(last.stop, span.stop))
        else:
            joined.append(span)
    return joined


def spans_of(study: str, members: Iterable[Member]) -> list[Span]:
    """Return what to ask for to get members of a zip.

    A span begins with the local header of a member, so that no request is spent on finding out
    where its bytes begin.
    """
    return join(_span(study, member) for member in members)


def _span(study: str, member: Member) -> Span:
    name = len(f'{study}/{member.name}'.encode())
    size = member.size if member.packed < 0 else member.packed
    return Span(member.offset, member.offset + _HEADER + name + _SLACK + size)
