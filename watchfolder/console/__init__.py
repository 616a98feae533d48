"""The operator's side, beside the flow: the command line, the status, the log lines."""
