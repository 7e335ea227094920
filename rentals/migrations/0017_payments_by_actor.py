"""Adds an index for the payments that one member of staff took, without locking the ledger."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class AddIndexWithoutLock(AddIndexConcurrently):
    """AddIndexConcurrently that also runs on SQLite."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        base = (
            super() if schema_editor.connection.vendor == "postgresql" else super(AddIndexConcurrently, self)
        )
        base.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        base = (
            super() if schema_editor.connection.vendor == "postgresql" else super(AddIndexConcurrently, self)
        )
        base.database_backwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("rentals", "0016_reversals_keep_the_method")]

    operations = [
        AddIndexWithoutLock(
            "ledgerentry",
            models.Index(fields=["actor", "id"], condition=Q(kind="payment"), name="ledger_payment_by_actor"),
        ),
    ]
