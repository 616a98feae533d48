"""How long the pipeline waits for what. Seconds, all of them."""

FIRST_LOOK_SECONDS = 2.0  # from confirm to the first look, before anything has been learned
LOOK_WIDENING = 1.5
LONGEST_LOOK_SECONDS = 15.0
LEAST_BETWEEN_LOOKS_SECONDS = 1.0  # at one order, whatever the occasion
LINKS_SECONDS = 60.0  # in one round of transfers links that are refused are renewed once in this time
PUSHES_PROVE = 3  # so many in a row that came before their looks, or with them: the next ones are waited for
PUSH_GRACE_SECONDS = 15.0  # for how long a push may come after the time when its order is usually, or was found, done
LIST_SECONDS = 5.0  # the list is asked no more often for orders of which it tells all: one call for several of them
LIST_PAYS = 3  # orders that are asked for again: one call to the list is cheaper than so many looks
ASK_READS_AGAIN_SECONDS = 60.0
LIMIT_SECONDS = 5.0  # for how long whatever made somebody wait is called the limit
OVERDUE_SECONDS = 3600.0  # an order that the service is still at work on after this time is told, and may make room
NO_LIST_SECONDS = 300.0  # for how long a list that failed is not asked for again
REMEMBER_SECONDS = 1.0  # how often an order of many writes down which of its files are uploaded
GATHER_SECONDS = 0.5  # what a result waits, at most, for others of its order: they share the syncs and the entries
REPEAT_SECONDS = 2.0  # before a step that brought its order no further is repeated; doubles
FIRST_BACKOFF_SECONDS = 30.0  # after a failure; doubles
LONGEST_BACKOFF_SECONDS = 3600.0
FIRST_ORDER_AGAIN_SECONDS = 300.0  # after the service failed an order by what may pass: 5, 15 and 45 minutes
ORDER_AGAIN_GROWTH = 3.0
FOLDER_BACKOFF_SECONDS = 10.0
RECOVERY_SPREAD_SECONDS = 10.0  # after an outage the waiting orders come back over this time, not at once
FORGOTTEN_AGAIN_SECONDS = 600.0  # a service that does not know an order is asked once more
WANTS_SECONDS = 60.0  # for how long an inbox that asked for room counts as waiting for it
SUSPECT_SECONDS = 30.0  # a life must have lasted so long before it tries a suspect: a random killer hits none
