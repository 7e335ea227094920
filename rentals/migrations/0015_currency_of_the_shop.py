"""Adds the currency of the shop's amounts, and a trigger that keeps it once there is a ledger entry.

As in 0003, a migration that re-creates the table of the policy on SQLite must run the operations of the
trigger again.
"""

from django.db import migrations, models

POSTGRESQL = """
CREATE FUNCTION currency_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.currency <> '' AND OLD.currency <> NEW.currency AND EXISTS (SELECT 1 FROM rentals_ledgerentry) THEN
        RAISE EXCEPTION 'The currency of the ledger never changes.'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER currency_is_fixed BEFORE UPDATE OF currency ON rentals_policy
    FOR EACH ROW EXECUTE FUNCTION currency_is_fixed();
"""

SQLITE = """
CREATE TRIGGER currency_is_fixed BEFORE UPDATE OF currency ON rentals_policy
WHEN OLD.currency <> '' AND OLD.currency <> NEW.currency AND EXISTS (SELECT 1 FROM rentals_ledgerentry)
BEGIN SELECT RAISE(ABORT, 'The currency of the ledger never changes.'); END;
"""


def create(apps, schema_editor):
    schema_editor.execute(POSTGRESQL if schema_editor.connection.vendor == "postgresql" else SQLITE)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER currency_is_fixed ON rentals_policy")
        schema_editor.execute("DROP FUNCTION currency_is_fixed()")
    else:
        schema_editor.execute("DROP TRIGGER currency_is_fixed")


class Migration(migrations.Migration):
    dependencies = [("rentals", "0014_amounts_with_three_places")]

    operations = [
        migrations.AddField(
            "policy",
            "currency",
            models.CharField("currency", max_length=3, blank=True, default="", db_default="", editable=False),
        ),
        migrations.RunPython(create, drop),
    ]
