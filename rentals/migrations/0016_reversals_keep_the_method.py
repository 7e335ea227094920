"""Lets reversals have the method of the entry that they reverse.

Earlier reversals keep their empty method, because ledger entries never change.
"""

from django.db import migrations, models
from django.db.models import Q


class KeepTriggers(migrations.SeparateDatabaseAndState):
    """Creates all triggers again on SQLite, which drops those of a table that it re-creates.

    They are dropped before, because those of other tables must not name a table that is missing meanwhile.
    """

    def __init__(self, operations):
        super().__init__(database_operations=operations, state_operations=operations)

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        with_triggers = self._take_triggers(schema_editor)
        super().database_forwards(app_label, schema_editor, from_state, to_state)
        self._create(schema_editor, with_triggers)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        with_triggers = self._take_triggers(schema_editor)
        super().database_backwards(app_label, schema_editor, from_state, to_state)
        self._create(schema_editor, with_triggers)

    def _take_triggers(self, schema_editor):
        if schema_editor.connection.vendor != "sqlite":
            return []
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            triggers = cursor.fetchall()
        for name, _sql in triggers:
            schema_editor.execute(f"DROP TRIGGER {name}")
        return [sql for _name, sql in triggers]

    def _create(self, schema_editor, triggers):
        for sql in triggers:
            schema_editor.execute(sql)


class Migration(migrations.Migration):
    dependencies = [("rentals", "0015_currency_of_the_shop")]

    operations = [
        KeepTriggers(
            [
                migrations.RemoveConstraint("ledgerentry", "ledger_method_where_money_moves"),
                migrations.AddConstraint(
                    "ledgerentry",
                    models.CheckConstraint(
                        condition=(Q(kind__in=["payment", "refund"]) & ~Q(method=""))
                        | Q(kind="reversal")
                        | Q(kind__in=["rent", "lost_book", "waiver"], method=""),
                        name="ledger_method_where_money_moves",
                    ),
                ),
            ]
        ),
    ]
