"""Queries that are compiled once, and then asked with other values again and again. A leaf.

Django writes the SQL of a query anew each time it is asked. For the availability of a page of books that
took three times as long as the database took to answer, and half of that went into its plan. A prepared
query is written like any other, with a `Slot` where a value comes in; what it gives are the rows that the
query would give. PostgreSQL keeps its plan for as long as the connection lives.

For what is asked with every call, and always in the same shape.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from django.core.exceptions import EmptyResultSet
from django.db import NotSupportedError, connections
from django.db.models import BooleanField, Expression, F, Field, Func, QuerySet, prefetch_related_objects
from django.db.models.base import ModelState
from django.db.models.query import FlatValuesListIterable, ModelIterable
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
            answer = self._compiled
        except EmptyResultSet:  # Of which Django knows without a look that it finds nothing.
            return []
        connection = connections[answer.db]
        if answer.locks and connection.get_autocommit():
            raise TransactionManagementError("A lock ends with its transaction, and there is none.")
        sql, parameters = self._known_to(connection)
        given = [
            each.prepared(values[each.name], connection) if isinstance(each, Slot) else each
            for each in parameters
        ]
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, given)
                told = cursor.fetchall()
        except NotSupportedError:
            # A migration has changed the type of a column since, and the plan was for the one before.
            if connection.in_atomic_block or not self._is_forgotten_by(connection):
                raise
            return self(**values)
        return answer.rows(told, connection)

    def first(self, **values: Any) -> _Row | None:
        return next(iter(self(**values)), None)

    def one(self, **values: Any) -> _Row:
        """Raises DoesNotExist of the model where there is none."""
        for row in self(**values):
            return row
        raise self._make().model.DoesNotExist

    @cached_property
    def _compiled(self) -> _Answer:
        return _Answer(self._make())

    def _known_to(self, connection: Any) -> tuple[str, list[Any]]:
        """What to send over `connection`: the query, or the name by which the server has its plan already."""
        sql, parameters = self._compiled.sql, self._compiled.parameters
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


class _Answer:
    """What a query asks, and how its rows are made of what the database tells.

    As Django makes them, by what its compiler has found out once: which columns are whose, and what turns
    them into Python's values.
    """

    def __init__(self, rows: QuerySet[Any, Any]) -> None:
        compiler = rows.query.get_compiler(rows.db)
        self.sql, parameters = compiler.as_sql()
        self.parameters = list(parameters)
        self.db = rows.db
        self.locks = rows.query.select_for_update
        self._columns = compiler.col_count
        converters = compiler.get_converters([column for column, _sql, _name in compiler.select])
        self._converters = [(place, *each) for place, each in converters.items()]
        kind: Any = rows
        self._prefetched = kind._prefetch_related_lookups  # noqa: SLF001
        # What the shop asks for are models, tuples, or the only value of each.
        made = kind._iterable_class  # noqa: SLF001
        self._is_flat = made is FlatValuesListIterable
        self._one = None
        if made is ModelIterable:
            annotations = compiler.annotation_col_map or {}
            self._one = _One(compiler.klass_info, compiler.select, rows.db, annotations)

    def rows(self, told: list[tuple[Any, ...]], connection: Any) -> list[Any]:
        values = [self._converted(row, connection) for row in told] if self._converters else told
        if self._one is None:
            return [row[0] if self._is_flat else tuple(row[: self._columns]) for row in values]
        known: _Known = {}
        found = [self._one.made(row, known) for row in values]
        if self._prefetched:
            prefetch_related_objects(found, *self._prefetched)
        return found

    def _converted(self, row: Sequence[Any], connection: Any) -> list[Any]:
        values = list(row)
        for place, converters, expression in self._converters:
            for convert in converters:
                values[place] = convert(values[place], expression, connection)
        return values


# What has been made of one answer already, by what makes it and its key: a rate that ten rentals have is one.
_Known = dict[tuple[int, Any], Any]


class _One:
    """Makes a model of its columns, with those that are selected along with it.

    Without `Model.__init__`, which asks each field: no model of the shop has one of its own, or a signal
    that waits for it, and a test says so.
    """

    def __init__(self, info: dict[str, Any], select: Any, db: str, annotations: dict[str, int]) -> None:
        self._model = info["model"]
        self._db = db
        places = info["select_fields"]
        self._columns = slice(places[0], places[-1] + 1)
        self._names = [column.target.attname for column, _sql, _name in select[self._columns]]
        self._key = places[0] + self._names.index(self._model._meta.pk.attname)  # noqa: SLF001
        self._annotations = annotations
        self._related = [
            (_One(each, select, db, {}), each["local_setter"], each["remote_setter"])
            for each in info.get("related_klass_infos", ())
        ]

    def made(self, row: Sequence[Any], known: _Known) -> Any:
        one = self._model.__new__(self._model)
        one._state = state = ModelState()  # noqa: SLF001
        state.adding = False
        state.db = self._db
        one.__dict__.update(zip(self._names, row[self._columns], strict=True))
        for name, place in self._annotations.items():
            setattr(one, name, row[place])
        for other, set_other, set_this in self._related:
            related = other.related(row, known)
            set_other(one, related)
            if related is not None:
                set_this(related, one)
        return one

    def related(self, row: Sequence[Any], known: _Known) -> Any:
        """None where the row has no such thing."""
        key = row[self._key]
        if key is None:
            return None
        name = (id(self), key)
        if name not in known:
            known[name] = self.made(row, known)
        return known[name]
