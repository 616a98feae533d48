"""The way out: protected pictures to the outbox, originals to their place, failures to quarantine with their reason."""

from watchfolder.publish.archive import Archive
from watchfolder.publish.enclosures import EnclosurePublisher, picture_beside, report_extension
from watchfolder.publish.findings import FindingPublisher
from watchfolder.publish.free_names import put_under_free_name
from watchfolder.publish.lists import ListPublisher, list_beside
from watchfolder.publish.originals import OTHER_ORIGINALS, TEST_ORIGINALS
from watchfolder.publish.pictures import Publisher
from watchfolder.publish.results import (
    RESULT_LIMIT_BYTES,
    TEST_MARK,
    Fetch,
    Received,
    part_gone,
    receive,
    report_format,
    result_format,
)
from watchfolder.publish.xmp import UnfitSidecar
