"""Run the command line as `python -m watchfolder`."""

from watchfolder.console.cli import main

if __name__ == "__main__":
    main()
