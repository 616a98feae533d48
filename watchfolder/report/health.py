"""Is all well? What `/healthz` answers and the heartbeat asks."""

from watchfolder.snapshot import NO_ANSWER, Snapshot

_SILENT_SECONDS = 120.0  # the loop turns every ten seconds; a reload may take twenty


def trouble(snapshot: Snapshot | None, silent_seconds: float) -> str:
    """Say why a person should come, or nothing; from the daemon's last word, and for how long it has been the last."""
    if silent_seconds > _SILENT_SECONDS:
        return f"stuck: the main loop has not turned for {silent_seconds:.0f} s"
    if snapshot is None:
        return "starting"
    if snapshot.is_stuck:
        return "stuck: work stands still although its folders answer"
    if snapshot.blocked:
        return f"blocked: {snapshot.blocked}"
    away = [f"{name} ({each.fault})" for name, each in snapshot.inboxes.items() if each.fault]
    if away:
        return f"not available: {'; '.join(away)}"
    if snapshot.refused:
        return f"configuration: {snapshot.refused}"
    return NO_ANSWER if snapshot.is_down else ""
