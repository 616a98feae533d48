"""The configuration: one YAML file becomes one frozen Config, or every fault at once, each with its path in it."""

from watchfolder.config.environment import CONTAINER, is_container, names_inbox
from watchfolder.config.key import require_key
from watchfolder.config.loading import find, load, page_in, state_folder_in
from watchfolder.config.sections import (
    VERDICTS,
    ApiSection,
    BudgetSection,
    Config,
    HttpSection,
    Inbox,
    OnFailure,
    ReportLocale,
    Section,
    Strength,
    WebhookSection,
)
from watchfolder.config.values import FIRST_FOLDER, WEBHOOK_PATH
