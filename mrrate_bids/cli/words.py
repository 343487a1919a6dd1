"""Lists as several words on a command line: ``--patient 007 42``."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from mrrate_bids.cli.candidates import Text

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ['ListCommand']

_OPEN = 'mrrate_bids.open_list'


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a command line."""

    text: str
    is_free: bool = False
    """Whether it is neither an option nor the value right behind one."""

    option: str = ''
    """That may be repeated, when the word stands somewhere behind its first value."""


class ListCommand(click.Command):
    """A command whose options that may be repeated also take several words.

    The arguments of the command may stand anywhere. Where they stand behind such an option they
    are the last of its words: ``--patient 007 42 RELEASE OUT``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for param in self.params:
            if param.type is click.STRING:
                param.type = Text()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each further word of its list, which click understands."""
        options = {name: p for p in self.params if isinstance(p, click.Option) for name in p.opts}
        words = list(_read(args, options))
        if ctx.resilient_parsing and _lacks_value(words, options):
            words.pop()  # a shell asks for its value; click would read no argument
        wanted = sum(isinstance(param, click.Argument) for param in self.params)
        missing = wanted - sum(word.is_free and not word.option for word in words)
        if words and words[-1].option and missing == 0:
            ctx.meta[_OPEN] = options[words[-1].option]
        return super().parse_args(ctx, list(_spread(words, missing)))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> 'list[CompletionItem]':
        """Offer one more word for the list that stands last, or what click offers."""
        option = ctx.meta.get(_OPEN)
        if option is None or incomplete.startswith('-'):
            return super().shell_complete(ctx, incomplete)
        found: list[CompletionItem] = option.shell_complete(ctx, incomplete)
        return found


def _read(args: Iterable[str], options: Mapping[str, click.Option]) -> Iterator[_Word]:
    """Yield the words, each with the list that it may belong to."""
    texts, current = iter(args), ''
    for text in texts:
        if text == '--':
            yield _Word(text)
            yield from (_Word(rest, is_free=True) for rest in texts)
        elif text.startswith('-') and text != '-':
            yield _Word(text)
            option = options.get(text)
            current = text if option is not None and option.multiple else ''
            if option is not None and _takes_value(option):
                yield from (_Word(value, option=current) for value in islice(texts, 1))
        else:
            yield _Word(text, is_free=True, option=current)


def _takes_value(option: click.Option) -> bool:
    return not (option.is_flag or option.count)


def _lacks_value(words: list[_Word], options: Mapping[str, click.Option]) -> bool:
    option = options.get(words[-1].text) if words else None
    return option is not None and _takes_value(option)


def _spread(words: list[_Word], missing: int) -> Iterator[str]:
    """Yield the words as click takes them; the last of lists are arguments that are missing."""
    listed = [n for n, word in enumerate(words) if word.is_free and word.option]
    arguments = set(listed[-missing:] if missing > 0 else ())
    for number, word in enumerate(words):
        if word.is_free and word.option and number not in arguments:
            yield word.option
        yield word.text
