"""What is looked for at each commit is found without reading all that ever was."""

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"


def upgrade() -> None:
    """Add indexes of transactions that have not ended, of segments that others stand for, and of where rows were appended."""
    op.create_index("transactions_state", "transactions", ["state"])
    op.create_index("transactions_asked", "transactions", ["transaction_id"], postgresql_where=sa.text("request IS NOT NULL"))
    op.create_index("transactions_uncleared", "transactions", ["transaction_id"], postgresql_where=sa.text("NOT cleared"))
    op.create_index("segments_replaced", "segments", ["replaced"], postgresql_where=sa.text("replaced IS NOT NULL"))
    op.create_index("appended_chunks_of_chunk", "appended_chunks", ["table_id", "chunk"])
