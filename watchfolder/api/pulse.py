"""A sign of life for a monitor elsewhere: one address is fetched, and what it answers is hardly looked at."""

from typing import TYPE_CHECKING

from watchfolder.api.transport import Pace, Transport
from watchfolder.errors import Retry

if TYPE_CHECKING:
    from watchfolder.config import ApiSection

_PACE = Pace(connect_seconds=5.0, read_seconds=10.0, total_seconds=20.0)


class Pulse:
    """Fetches `url`, which is a secret, by the network settings of the API, and without its key."""

    def __init__(self, url: str, settings: "ApiSection") -> None:
        self._url = url
        self._transport = Transport(settings, connections=1, pace=_PACE)

    def beat(self) -> None:
        """Raise Retry when it was not taken. A redirect is no yes, and is not followed."""
        answer = self._transport.glance(self._url)
        if not answer.is_success:
            raise Retry(f"the answer was {answer.status}", code=str(answer.status))

    def close(self) -> None:
        """Cut a call under way."""
        self._transport.close()
