"""Run the command line: as `watchfolder`, or as `python -m watchfolder`."""

import signal
import sys


def main() -> None:
    if sys.argv[1:2] == ["run"]:  # what they ask for waits until the daemon can do it: their default is to end us
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGUSR1})
    from watchfolder.console import cli  # noqa: PLC0415 - it takes most of the first second

    cli.main()


if __name__ == "__main__":
    main()
