"""``mrrate-bids completion SHELL``."""

import click

__all__ = ['command']


@click.command(name='completion')
@click.argument('shell', type=click.Choice(['bash', 'zsh', 'fish']))
def command(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    Example
      mrrate-bids completion bash >> ~/.bash_completion
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    from mrrate_bids.cli import main  # noqa: PLC0415

    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover  (click.Choice lets no other shell through)
        raise click.UsageError(f'no completion for {shell}')
    click.echo(kind(main, {}, 'mrrate-bids', '_MRRATE_BIDS_COMPLETE').source())
