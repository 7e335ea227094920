"""Adds triggers that refuse a rental whose rent entry is not a rent, or is another rental's.

Together with the constraints on both tables, a returned rental has exactly one rent entry. As in 0003, a
migration that re-creates the table on SQLite must run these operations again.
"""

from django.db import migrations

POSTGRESQL = """
CREATE FUNCTION rent_entry_is_the_rentals_own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM rentals_ledgerentry
        WHERE id = NEW.rent_entry_id AND kind = 'rent' AND rental_id = NEW.ref
    ) THEN
        RAISE EXCEPTION 'The rent entry is not that of this rental.'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER rent_entry_is_the_rentals_own BEFORE INSERT OR UPDATE OF rent_entry_id ON rentals_rental
    FOR EACH ROW WHEN (NEW.rent_entry_id IS NOT NULL) EXECUTE FUNCTION rent_entry_is_the_rentals_own();
"""

SQLITE = """
CREATE TRIGGER rent_entry_is_the_rentals_own_{name} BEFORE {operation} ON rentals_rental
WHEN NEW.rent_entry_id IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM rentals_ledgerentry
    WHERE id = NEW.rent_entry_id AND kind = 'rent' AND rental_id = NEW.ref
)
BEGIN SELECT RAISE(ABORT, 'The rent entry is not that of this rental.'); END;
"""


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRESQL)
    else:
        for name, operation in (("insert", "INSERT"), ("update", "UPDATE OF rent_entry_id")):
            schema_editor.execute(SQLITE.format(name=name, operation=operation))


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER rent_entry_is_the_rentals_own ON rentals_rental")
        schema_editor.execute("DROP FUNCTION rent_entry_is_the_rentals_own()")
    else:
        for name in ("insert", "update"):
            schema_editor.execute(f"DROP TRIGGER rent_entry_is_the_rentals_own_{name}")


class Migration(migrations.Migration):
    dependencies = [("rentals", "0003_ledger_is_final")]

    operations = [migrations.RunPython(create, drop)]
