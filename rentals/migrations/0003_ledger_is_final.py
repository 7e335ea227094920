"""Adds triggers that refuse UPDATE and DELETE on the ledger, so that no code path can rewrite it.

On SQLite a migration that alters the table re-creates it without its triggers: such a migration must run
these operations again. The ledger's tests fail if it does not.
"""

from django.db import migrations

POSTGRESQL = """
CREATE FUNCTION ledger_entry_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'A ledger entry is final: post a reversal.'
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE TRIGGER ledger_entry_is_final BEFORE UPDATE OR DELETE ON rentals_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION ledger_entry_is_final();
"""

SQLITE = [
    f"""
    CREATE TRIGGER ledger_entry_is_final_{operation.lower()} BEFORE {operation} ON rentals_ledgerentry
    BEGIN SELECT RAISE(ABORT, 'A ledger entry is final: post a reversal.'); END;
    """
    for operation in ("UPDATE", "DELETE")
]


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRESQL)
    else:
        for statement in SQLITE:
            schema_editor.execute(statement)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER ledger_entry_is_final ON rentals_ledgerentry")
        schema_editor.execute("DROP FUNCTION ledger_entry_is_final()")
    else:
        for operation in ("update", "delete"):
            schema_editor.execute(f"DROP TRIGGER ledger_entry_is_final_{operation}")


class Migration(migrations.Migration):
    dependencies = [("rentals", "0002_price_lists_and_policy")]

    operations = [migrations.RunPython(create, drop)]
