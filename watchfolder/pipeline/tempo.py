"""How long the pipeline waits for what. Seconds, all of them."""

FIRST_LOOK_SECONDS = 2.0  # from confirm to the first look
LOOK_WIDENING = 1.5
LONGEST_LOOK_SECONDS = 15.0
LEAST_BETWEEN_LOOKS_SECONDS = 1.0  # at one order, whatever the occasion
FIRST_BACKOFF_SECONDS = 30.0  # after a failure; doubles
LONGEST_BACKOFF_SECONDS = 3600.0
FOLDER_BACKOFF_SECONDS = 10.0
RECOVERY_SPREAD_SECONDS = 10.0  # after an outage the waiting orders come back over this time, not at once
FORGOTTEN_AGAIN_SECONDS = 600.0  # a service that does not know an order is asked once more
WANTS_SECONDS = 60.0  # for how long an inbox that asked for room counts as waiting for it
SUSPECT_SECONDS = (
    30.0  # a life must have lasted so long before it tries a suspect: whoever kills us at random hits none
)
