"""What the signals that have come make the main loop do, with real signals."""

import os
import signal

from watchfolder.daemon.signals import Signals, Wakeup


def test_what_a_signal_asks_for_is_done_once_and_a_stop_stays() -> None:
    wakeup = Wakeup()
    with Signals(wakeup) as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not signals.take(signal.SIGUSR1)
        assert [signals.take(signal.SIGHUP) for _ in range(2)] == [True, False]
        assert not signals.stop
        os.kill(os.getpid(), signal.SIGTERM)
        assert [signals.stop for _ in range(2)] == [True, True]
    wakeup.close()
