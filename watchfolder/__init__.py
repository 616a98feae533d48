"""Drop a picture into a folder, get it back protected against AI training, marked, or checked.

The flow: `watcher` notices that a folder changed, `intake` looks, waits until a file has settled
and claims it, `journal` remembers the order that holds it, `pipeline` takes the order through its states by way of
`api` (the BIZ MORI services; `services` knows each), and `publish` puts the result into the outbox and the original
where it belongs. `daemon` runs all that; `console` stands beside it. Nothing flows back: "back" is a state in the
journal, read on the next beat, so a crash anywhere is the same as a slow beat. See docs/architecture.md.
"""

__version__ = "0.1.0"
