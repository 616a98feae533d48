"""Before there is a configuration that can be used: say what is missing, in the log and on the page, and wait."""

import logging
import signal
from collections.abc import Callable, Sequence
from typing import Final

from watchfolder.config import Config, HttpSection
from watchfolder.errors import ConfigError
from watchfolder.events import event
from watchfolder.web import WaitingPage

_AGAIN_SECONDS = 2.0
_STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT})
_AT_ONCE: Final = frozenset({signal.SIGHUP, signal.SIGUSR1})


def until_configured(read: Callable[[], Config], http: Callable[[], HttpSection]) -> Config | None:
    """Return what `read` returns once it raises no ConfigError; None when told to stop before.

    `http` says where the page is served meanwhile. The signals stay blocked, so that none is lost on the way to the
    daemon's own handlers.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP | _AT_ONCE)
    told: Sequence[str] = ()
    with WaitingPage() as page:
        while True:
            try:
                return read()
            except ConfigError as error:
                faults = error.faults
            if faults != told:
                for fault in faults:
                    event("config.missing", logging.ERROR, fault=fault, effect="waits for it")
                told = faults
            page.show(faults, http())
            asked = signal.sigtimedwait(_STOP | _AT_ONCE, _AGAIN_SECONDS)
            if asked is not None and asked.si_signo in _STOP:
                event("daemon.stopped", delivered=0, quarantined=0)
                return None
