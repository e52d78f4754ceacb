"""Statements on a connection of the user's, written as a generator: once, for plain drivers and for asyncio's.

It yields a statement, its parameters, and whether the first row is wanted. It is sent how many rows were changed and that row, or what the
driver has raised is raised in it."""

from typing import Any, Generator

from .errors import InvalidArgument
from .outbox_sql import driver_of

Statements = Generator[tuple[str, tuple[Any, ...], bool], tuple[int, Any], None]


def carry_out(cursor: Any, statements: Statements) -> None:
    """Closes the cursor."""
    try:
        step = next(statements)
        while True:
            try:
                cursor.execute(step[0], step[1])
                answer = cursor.rowcount, cursor.fetchone() if step[2] else None
            except Exception as error:  # noqa: BLE001 (the generator knows)
                step = statements.throw(error)
            else:
                step = statements.send(answer)
    except StopIteration:
        return
    finally:
        cursor.close()


async def carry_out_async(cursor: Any, statements: Statements) -> None:
    """The same, awaited."""
    try:
        step = next(statements)
        while True:
            try:
                await cursor.execute(step[0], step[1])
                answer = cursor.rowcount, await cursor.fetchone() if step[2] else None
            except Exception as error:  # noqa: BLE001
                step = statements.throw(error)
            else:
                step = statements.send(answer)
    except StopIteration:
        return
    finally:
        await cursor.close()


def refuse_async(connection: Any, otherwise: str) -> None:
    """What nobody awaits is never carried out, and looks as if it had been."""
    if hasattr(connection, "__aenter__"):
        raise InvalidArgument(f"{type(connection).__name__} is asynchronous: {otherwise}")


def refuse_plain(connection: Any, otherwise: str) -> None:
    if driver_of(connection) != "psycopg" or not hasattr(connection, "__aenter__"):
        raise InvalidArgument(f"{type(connection).__name__} is no psycopg.AsyncConnection; {otherwise}")
