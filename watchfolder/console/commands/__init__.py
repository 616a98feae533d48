"""The commands of the command line: each file is named after its command."""
