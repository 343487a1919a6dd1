"""What a command said, called in this process."""

from click.testing import CliRunner

from mrrate_bids.cli import main


class Said:
    """Exit code, text and errors, as on a terminal wide enough for every table."""

    def __init__(self, *arguments):
        runner = CliRunner(env={'COLUMNS': '250'})
        done = runner.invoke(main, list(map(str, arguments)))
        assert not done.exception or isinstance(done.exception, SystemExit), repr(done.exception)
        self.code, self.text, self.errors = done.exit_code, done.stdout, done.stderr
