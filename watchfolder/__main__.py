"""Run the command line: as `watchfolder`, or as `python -m watchfolder`."""

import os
import signal
import sys


def main() -> None:
    if sys.argv[1:2] == ["run"]:  # held until the daemon has handlers for them: by default they end the process
        waiting = {signal.SIGHUP, signal.SIGUSR1}
        if os.getpid() == 1 and "--dry-run" not in sys.argv:  # PID 1: the kernel drops signals without a handler
            waiting |= {signal.SIGTERM, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
    from watchfolder.console import cli  # noqa: PLC0415 - importing it takes most of the first second

    cli.main()


if __name__ == "__main__":
    main()
