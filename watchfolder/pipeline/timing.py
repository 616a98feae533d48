"""How long the pipeline waits for what. Seconds, all of them."""

import random

from watchfolder.clock import back_off

FIRST_POLL_SECONDS = 2.0  # from confirm to the first poll, before anything has been learned
POLL_WIDENING = 1.5
LONGEST_POLL_SECONDS = 15.0
LEAST_BETWEEN_POLLS_SECONDS = 1.0  # of one order, whatever the occasion
LINKS_SECONDS = 60.0  # in this time a round of transfers asks for links twice at most
PUSH_GRACE_SECONDS = 15.0  # the first poll leaves so much time for a push, where one is to come
LIST_SECONDS = 5.0  # the list is asked no more often for orders of which it tells all: one call for several of them
LIST_PAYS = 3  # orders that are asked for again: one call to the list is cheaper than so many polls
LIMIT_SECONDS = 5.0  # for so long after a wait its cause is called the limit
DELAYED_POLL_SECONDS = 1800.0  # of an order that people at the service see to
OVERDUE_SECONDS = 3600.0  # an order that is with the service for longer is reported, and may give way to others
NO_LIST_SECONDS = 300.0  # for how long a list that failed is not asked for again
UPLOAD_ARRIVES_SECONDS = 60.0  # for so long an upload whose answer was lost may still become known to the service
REMEMBER_SECONDS = 1.0  # how often an order of many writes down which of its files are uploaded
GATHER_SECONDS = 0.5  # what a result waits, at most, for others of its order: they share the syncs and the entries
REPEAT_SECONDS = 2.0  # before a step that brought its order no further is repeated; doubles
FIRST_BACKOFF_SECONDS = 30.0  # after a failure; doubles
LONGEST_BACKOFF_SECONDS = 3600.0
ENCLOSE_SECONDS = 7 * 86400.0  # for so long what is to lie beside a finding is tried again: results are kept no longer
FIRST_ORDER_AGAIN_SECONDS = 300.0  # after the service failed an order by what may pass: 5, 15 and 45 minutes
TABLE_SECONDS = 30.0  # what reading the table of another inbox may take: it may have hundreds of thousands of lines
MOST_ORDERED_AGAIN = 3  # times, for a verdict that says nothing
ORDER_AGAIN_GROWTH = 3.0
FOLDER_BACKOFF_SECONDS = 10.0
RECOVERY_SPREAD_SECONDS = 10.0  # after an outage the waiting orders come back over this time, not at once
MISSING_AGAIN_SECONDS = 600.0  # a service that does not know an order is asked once more
WANTS_SECONDS = 60.0  # for how long an inbox that asked for room counts as waiting for it
LIST_HELD_SECONDS = 60.0  # how soon a list of addresses that is held is looked at again
SUSPECT_SECONDS = 30.0  # the process must have run so long before it tries a suspect: random kills do not hit one then


def retry_wait(failures: int) -> float:
    """Return how long an order is put off that has failed again, after so many failures in a row."""
    return _jitter(back_off(failures, FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS))


def order_again_wait(reordered: int) -> float:
    """Return how long files wait before they are ordered again, after they were so many times."""
    return _jitter(FIRST_ORDER_AGAIN_SECONDS * ORDER_AGAIN_GROWTH**reordered)


def _jitter(seconds: float) -> float:
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311 - no secret


def probe_wait(shortest: float, age: float, share: float) -> float:
    """Return the wait between two probes of a refusal of this age: a share of that, from `shortest` to an hour."""
    return max(shortest, min(LONGEST_BACKOFF_SECONDS, age * share))


def report_wait(age: float) -> float:
    """Return the wait before a report of this age is asked for again: it grows to 15 s, or a twentieth of the age."""
    return min(2.0 + age / 2, max(15.0, age / 20))
