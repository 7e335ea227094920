"""Compiles a queryset to SQL once, for the few reads that nearly every call of the API makes.

Django compiles a queryset each time it is evaluated, which takes longer than the database takes to answer
these reads: benchmarks/compiled_queries.py measures what each of them gains. Only the SQL is kept. PostgreSQL
plans it each time, so a migration may change the type of a column meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import connections
from django.db.models import BooleanField, Expression, F, Field, Func, Model, QuerySet
from django.db.models.query import ModelIterable

_Row = TypeVar("_Row")


class Parameter(Expression):
    """Stands in a queryset for a value that is given when the compiled query runs."""

    def __init__(self, name: str, output_field: Field[Any, Any]) -> None:
        self.name = name
        super().__init__(output_field=output_field)

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]

    def prepare(self, value: Any, connection: Any) -> Any:
        return self.output_field.get_db_prep_value(value, connection)


class IdList(Parameter):
    """A Parameter for any number of ids; for `InIds` only."""

    def __init__(self, name: str) -> None:
        super().__init__(name, BooleanField())

    def prepare(self, value: Collection[int], connection: Any) -> Any:
        return list(value) if connection.vendor == "postgresql" else json.dumps(list(value))


class InIds(Func):
    """Whether `column` is one of the ids: one parameter, however many they are."""

    output_field = BooleanField()

    def __init__(self, column: str, ids: IdList) -> None:
        super().__init__(F(column), ids)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="%(expressions)s)", arg_joiner=" = ANY(")

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        joiner = " IN (SELECT value FROM json_each("
        return self.as_sql(compiler, connection, template="%(expressions)s))", arg_joiner=joiner)


class _Compiled(NamedTuple):
    using: str
    sql: str
    parameters: list[Any]
    # The index of each column that has a converter, the converter, and the column.
    converters: list[tuple[int, Callable[..., Any], Any]]
    # None for rows of `values_list()`.
    model: type[Model] | None
    fields: list[str]


class CompiledQuery(Generic[_Row]):
    """The rows of `build()`, a queryset of models or of `values_list()`, for the values of its parameters.

    `build` is called once in a process, so the queryset may depend on nothing that changes. It selects no
    related models and prefetches nothing.
    """

    def __init__(self, build: Callable[[], QuerySet[Any, _Row]]) -> None:
        self._build = build

    def __call__(self, **values: Any) -> list[_Row]:
        compiled = self._compiled
        connection = connections[compiled.using]
        parameters = [
            part.prepare(values[part.name], connection) if isinstance(part, Parameter) else part
            for part in compiled.parameters
        ]
        with connection.cursor() as cursor:
            cursor.execute(compiled.sql, parameters)
            rows: list[Any] = cursor.fetchall()
        if compiled.converters:
            rows = [list(row) for row in rows]
            for row in rows:
                for place, convert, column in compiled.converters:
                    row[place] = convert(row[place], column, connection)
        if compiled.model is None:
            return rows
        model: Any = compiled.model
        return [model.from_db(compiled.using, compiled.fields, row) for row in rows]

    @cached_property
    def _compiled(self) -> _Compiled:
        queryset = self._build()
        compiler = queryset.query.get_compiler(queryset.db)
        sql, parameters = compiler.as_sql()
        columns: list[Any] = [column for column, _sql, _alias in compiler.select]
        converters = [
            (place, convert, column)
            for place, (converters, column) in compiler.get_converters(columns).items()
            for convert in converters
        ]
        is_model = queryset._iterable_class is ModelIterable  # noqa: SLF001
        return _Compiled(
            using=queryset.db,
            sql=sql,
            parameters=list(parameters),
            converters=converters,
            model=queryset.model if is_model else None,
            fields=[column.target.attname for column in columns] if is_model else [],
        )
