"""Forbids rentals of one copy that overlap, by an exclusion constraint on PostgreSQL.

It stops, and names them, if some do: staff void the wrong one of each pair, and the migration is run again.
SQLite has no such constraint. There `rentals.services` keeps the same rule under the locks of the book and
the copy. The constraint locks the table while its index is built: seconds for a million rentals.

Reversing this migration keeps the extension, which others may use.
"""

from django.core.management import CommandError
from django.db import migrations
from django.db.models import F, Q, Window
from django.db.models.functions import Lag

MAX_NAMED = 20

# A rental without length has both its bounds, so that it may not lie within another rental.
POSTGRESQL = """
CREATE EXTENSION IF NOT EXISTS btree_gist;
ALTER TABLE rentals_rental ADD CONSTRAINT rental_copy_is_with_one_member EXCLUDE USING gist (
    copy_id WITH =,
    tstzrange(rented_at, returned_at, CASE WHEN rented_at = returned_at THEN '[]' ELSE '()' END) WITH &&
) WHERE (voided_at IS NULL)
"""


def stop_at_overlaps(apps, schema_editor):
    Rental = apps.get_model("rentals", "Rental")
    copy = {
        "partition_by": F("copy"),
        "order_by": [F("rented_at"), F("returned_at").asc(nulls_last=True), F("ref")],
    }
    overlaps = (
        Rental.objects.using(schema_editor.connection.alias)
        .filter(voided_at=None)
        .annotate(
            ref_before=Window(Lag("ref"), **copy),
            rented_before=Window(Lag("rented_at"), **copy),
            returned_before=Window(Lag("returned_at"), **copy),
        )
        .filter(
            Q(returned_before__gt=F("rented_at"))
            | Q(ref_before__isnull=False, returned_before=None)
            | Q(rented_before=F("returned_at"), returned_before=F("rented_at"))
        )
        .order_by("copy", "ref")
        .values_list("ref", "ref_before", "copy__barcode")
    )
    found = list(overlaps[: MAX_NAMED + 1])
    if found:
        named = [f"{ref} and {before} (copy {barcode})" for ref, before, barcode in found[:MAX_NAMED]]
        more = ", and more" if len(found) > MAX_NAMED else ""
        raise CommandError(
            f"Rentals of one copy overlap: {', '.join(named)}{more}."
            " Void the wrong rental of each pair, and migrate again."
        )


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRESQL)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE rentals_rental DROP CONSTRAINT rental_copy_is_with_one_member")


class Migration(migrations.Migration):
    dependencies = [("rentals", "0011_policy_has_upper_bounds")]

    operations = [
        migrations.RunPython(stop_at_overlaps, migrations.RunPython.noop),
        migrations.RunPython(create, drop),
    ]
