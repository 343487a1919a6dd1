"""Options in groups, as the help of BIDS-Apps has them."""

from collections.abc import Callable
from typing import Any

import click

from mrrate_bids.cli.words import ListCommand

__all__ = ['GroupedCommand', 'group', 'title_of']

_GROUP = 'help_group'
_REST = 'Other options'


def group(title: str, *options: Callable[..., Any]) -> Callable[..., Any]:
    """Return a decorator that adds *options* to a command, under a title of their own."""

    def add(command: Any) -> Any:
        before = list(getattr(command, '__click_params__', []))
        for option in reversed(options):
            command = option(command)
        for param in command.__click_params__[len(before) :]:
            setattr(param, _GROUP, title)
        return command

    return add


def title_of(param: click.Parameter) -> str:
    """Return the title that the help shows above an option."""
    return str(getattr(param, _GROUP, _REST))


class GroupedCommand(ListCommand):
    """A command whose help shows each group under its title."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group, in the order of the options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        params = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        for param in sorted(params, key=lambda one: not hasattr(one, _GROUP)):
            if record := param.get_help_record(ctx):
                sections.setdefault(title_of(param), []).append(record)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)
