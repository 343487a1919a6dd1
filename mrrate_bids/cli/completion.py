"""``mrrate-bids completion SHELL``."""

import click

__all__ = ['PROGRAMS', 'command']

PROGRAMS = ('mrrate-bids', 'mrrate-bids-app')


@click.command(name='completion')
@click.argument('shell', type=click.Choice(['bash', 'zsh', 'fish']))
@click.option(
    '--program',
    type=click.Choice(PROGRAMS),
    default=PROGRAMS[0],
    show_default=True,
    help='The program whose words are completed.',
)
def command(shell: str, program: str) -> None:
    """Print the completion script for SHELL.

    It completes commands, options, choices, lists, labels of the dataset and templates.

    \b
    Examples
      mrrate-bids completion bash >> ~/.bash_completion
      mrrate-bids completion bash --program mrrate-bids-app >> ~/.bash_completion
      mrrate-bids completion fish > ~/.config/fish/completions/mrrate-bids.fish
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    from mrrate_bids.cli import main  # noqa: PLC0415

    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover  (click.Choice lets no other shell through)
        raise click.UsageError(f'no completion for {shell}')
    variable = f'_{program.replace("-", "_").upper()}_COMPLETE'
    script = kind(main, {}, program, variable).source()
    # fish would take only the first value of a list that has commas
    click.echo(script.replace('string split ","', 'string split --max 1 ","'))
