"""What the vendor sells: one module a service, one value (`Flow`) in it; what all services share knows none of them."""

from watchfolder.services.flow import Alone, Findings, Flow, Pair, Pairs, Stage, named
from watchfolder.services.offer import FLOWS, LEDGERS, SIDECARS, flow_of, picture_told_of, words_of
