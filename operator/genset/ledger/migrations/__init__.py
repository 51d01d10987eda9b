"""The steps by which the ledger's tables came to be, in Alembic's form. A step that was released is never changed."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "genset.ledger:migrations")
    return config


def upgrade(connection: Connection) -> None:
    """Brings the tables to this release, within the connection's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def known() -> list[str]:
    """Returns the names of the steps, the newest first."""
    return [step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()]
