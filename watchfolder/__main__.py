"""Run the command line: as `watchfolder`, or as `python -m watchfolder`."""

import os
import signal
import sys


def main() -> None:
    if sys.argv[1:2] == ["run"]:  # what they ask for waits until the daemon can do it: their default is to end us
        waiting = {signal.SIGHUP, signal.SIGUSR1}
        if os.getpid() == 1 and "--dry-run" not in sys.argv:  # a container's: the kernel drops what it does not handle
            waiting |= {signal.SIGTERM, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
    from watchfolder.console import cli  # noqa: PLC0415 - it takes most of the first second

    cli.main()


if __name__ == "__main__":
    main()
