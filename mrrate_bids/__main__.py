"""Run the command line with ``python -m mrrate_bids``."""

from mrrate_bids.cli import main

if __name__ == '__main__':
    main()
