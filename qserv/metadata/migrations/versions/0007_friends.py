"""Up to which separation near rows are in one group: of each chunk, no longer the least one of a table."""

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    """Take over what is known of whole tables."""
    op.add_column(
        "chunks",
        sa.Column(
            "friends_deg",
            sa.Double(),
            nullable=True,
            comment="Rows of a director that are not farther apart are in one group (_friends); NULL: unknown.",
        ),
    )
    op.execute(
        "UPDATE chunks SET friends_deg = CAST(facts ->> 'friends_deg' AS DOUBLE PRECISION) FROM tables"
        " WHERE tables.table_id = chunks.table_id AND facts ? 'friends_deg'"
    )
    op.execute("UPDATE tables SET facts = facts - 'friends_deg'")
