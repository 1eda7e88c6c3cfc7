"""Tables that sort, filter and page on the server, by the query of the page's address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import request

_PAGE = 25

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """`kind` decides how a value is shown: text, number, money, time, state, list or ms."""

    name: str
    title: str
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Table:
    columns: Sequence[Column]
    rows: Sequence[Row]
    count: int
    page: int
    pages: int
    sort: str
    descending: bool
    search: str

    def link(self, **changes: Any) -> str:
        """The page's address with another page or order."""
        given = {"sort": self.sort, "page": self.page, "q": self.search} | changes
        return f"?{urlencode({k: v for k, v in given.items() if v not in ('', 1, None)})}"

    def sort_link(self, column: Column) -> str:
        again = self.sort.lstrip("-") == column.name and not self.descending
        return self.link(sort=f"-{column.name}" if again else column.name, page=1)


def table(rows: Sequence[Row], columns: Sequence[Column], *, sort: str) -> Table:
    """The page of rows that the request asks for; `sort` is the order otherwise."""
    names = {column.name for column in columns}
    wanted = request.args.get("sort", sort)
    order = wanted if wanted.lstrip("-") in names else sort
    search = request.args.get("q", "").strip()[:100]
    if search:
        rows = [row for row in rows if _matches(row, names, search.lower())]
    descending = order.startswith("-")
    rows = sorted(rows, key=_key(order.lstrip("-")), reverse=descending)
    pages = max(1, -(-len(rows) // _PAGE))
    text = request.args.get("page", "1")
    page = min(int(text), pages) if text.isascii() and text.isdigit() and len(text) < 6 else 1
    page = max(1, page)
    shown = rows[(page - 1) * _PAGE : page * _PAGE]
    return Table(columns, shown, len(rows), page, pages, order, descending, search)


def _matches(row: Row, names: set[str], search: str) -> bool:
    return any(search in str(row.get(name, "")).lower() for name in names)


def _key(name: str) -> Callable[[Row], tuple[int, float, str]]:
    """Orders numbers, texts and what is missing, which comes first."""

    def key(row: Row) -> tuple[int, float, str]:
        value = row.get(name)
        if value is None:
            return 0, 0.0, ""
        if isinstance(value, int | float):
            return 1, float(value), ""
        return 2, 0.0, str(value).lower()

    return key
