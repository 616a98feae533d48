"""The operator's place beside the flow: the command line, the status, the log lines."""
