"""Queries that are compiled once, and then asked with other values again and again. A leaf.

Django writes the SQL of a query anew each time it is asked. For the availability of a page of books that
took three times as long as the database took to answer, and half of that went into its plan. A prepared
query is written like any other, with a `Slot` where a value comes in; what it gives are the rows that the
query would give. PostgreSQL keeps its plan for as long as the connection lives.

For what is asked with every call, and always in the same shape.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from django.core.exceptions import EmptyResultSet
from django.db import NotSupportedError, connections
from django.db.models import BooleanField, Expression, F, Field, Func, QuerySet, prefetch_related_objects
from django.db.transaction import TransactionManagementError
from psycopg2.extensions import AsIs

_Row = TypeVar("_Row")

_numbers = itertools.count(1)
# Of each open connection, the queries whose plans its server has.
_plans: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


class Slot(Expression):
    """Where the value called `name` comes in, of the kind of `field`."""

    def __init__(self, name: str, field: Field[Any, Any]) -> None:
        self.name = name
        super().__init__(output_field=field)

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]

    def prepared(self, value: Any, connection: Any) -> Any:
        return self.output_field.get_db_prep_value(value, connection)


class Keys(Slot):
    """As Slot, for any number of them."""

    def __init__(self, name: str) -> None:
        super().__init__(name, BooleanField())

    def prepared(self, value: Collection[int], connection: Any) -> Any:
        return list(value) if connection.vendor == "postgresql" else json.dumps(list(value))


class Among(Func):
    """Whether a column is one of the keys: one parameter, however many they are."""

    output_field = BooleanField()

    def __init__(self, column: str, keys: Keys) -> None:
        super().__init__(F(column), keys)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="%(expressions)s)", arg_joiner=" = ANY(")

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        joiner = " IN (SELECT value FROM json_each("
        return self.as_sql(compiler, connection, template="%(expressions)s))", arg_joiner=joiner)


class Prepared(Generic[_Row]):
    """The rows of `make()`, a queryset with slots, for the values that it is called with.

    `make` is called once, when the first asks. What the query says about the time or about settings is
    what it said then; such a thing is a slot, or a query of its own.
    """

    def __init__(self, make: Callable[[], QuerySet[Any, _Row]], *, kept: bool = True) -> None:
        """`kept` is False for a query that is asked once: the server need not keep its plan."""
        self._make = make
        self._kept = kept
        self._name = f"lori_{next(_numbers)}"

    def __call__(self, **values: Any) -> list[_Row]:
        try:
            rows, compiled, _sql, _parameters = self._compiled
        except EmptyResultSet:  # Of which Django knows without a look that it finds nothing.
            return []
        compiler = copy.copy(compiled)
        compiler.connection = connection = connections[rows.db]
        if rows.query.select_for_update and connection.get_autocommit():
            raise TransactionManagementError("A lock ends with its transaction, and there is none.")
        sql, parameters = self._known_to(connection)
        given = [
            each.prepared(values[each.name], connection) if isinstance(each, Slot) else each
            for each in parameters
        ]
        compiler.as_sql = lambda: (sql, given)
        # What Django makes rows with. It asks the query for its compiler, and a queryset for little else.
        make_rows: Any = rows._iterable_class  # noqa: SLF001
        try:
            found = list(make_rows(_Asked(rows, compiler)))
        except NotSupportedError:
            # A migration has changed the type of a column since, and the plan was for the one before.
            if connection.in_atomic_block or not self._is_forgotten_by(connection):
                raise
            return self(**values)
        if rows._prefetch_related_lookups:  # noqa: SLF001
            prefetch_related_objects(found, *rows._prefetch_related_lookups)  # noqa: SLF001
        return found

    def first(self, **values: Any) -> _Row | None:
        return next(iter(self(**values)), None)

    def one(self, **values: Any) -> _Row:
        """Raises DoesNotExist of the model where there is none."""
        for row in self(**values):
            return row
        raise self._make().model.DoesNotExist

    @cached_property
    def _compiled(self) -> tuple[Any, Any, str, list[Any]]:
        rows = self._make()
        compiler = rows.query.get_compiler(rows.db)
        sql, parameters = compiler.as_sql()
        return rows, compiler, sql, list(parameters)

    def _known_to(self, connection: Any) -> tuple[str, list[Any]]:
        """What to send over `connection`: the query, or the name by which the server has its plan already."""
        _rows, _compiler, sql, parameters = self._compiled
        # Where a pool stands between, the next statement may go over another connection.
        is_pooled = connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
        if not self._kept or is_pooled or connection.vendor != "postgresql":
            return sql, parameters
        # As Django does before a request's first query: what the connection had is gone with the connection.
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        slots = [each for each in parameters if isinstance(each, Slot)]
        names = _plans.setdefault(connection.connection, set())
        if self._name not in names:
            numbers = (AsIs(f"${number}") for number in itertools.count(1))
            written = [next(numbers) if isinstance(each, Slot) else each for each in parameters]
            with connection.wrap_database_errors, connection.connection.cursor() as cursor:
                cursor.execute(f"PREPARE {self._name} AS {sql}", written)
            names.add(self._name)
        places = f"({', '.join(['%s'] * len(slots))})" if slots else ""
        return f"EXECUTE {self._name}{places}", slots

    def _is_forgotten_by(self, connection: Any) -> bool:
        """Whether there was a plan, which is gone now."""
        names = _plans.get(connection.connection, set())
        if self._name not in names:
            return False
        with connection.wrap_database_errors, connection.connection.cursor() as cursor:
            cursor.execute(f"DEALLOCATE {self._name}")
        names.discard(self._name)
        return True


class _Asked:
    """A queryset, as far as those who make its rows look at it."""

    def __init__(self, rows: Any, compiler: Any) -> None:
        self.db = rows.db
        self.model = rows.model
        self._fields = rows._fields
        self._known_related_objects = rows._known_related_objects  # noqa: SLF001
        self.query = copy.copy(rows.query)
        self.query.get_compiler = lambda using: compiler  # noqa: ARG005  # There is one.
