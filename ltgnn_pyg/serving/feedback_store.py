"""The feedback of users since the model was trained, in one file of SQLite."""

import os
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

from ltgnn_pyg.serving.schema import Feedback

FILE = "feedback.sqlite"
#: Types that take an item from the lists of a user, and say nothing of their taste.
NEUTRAL = frozenset({"read", "dislike"})
#: The condition of SQL for the others; an index below is by it.
TAKEN = "type NOT IN ({})".format(", ".join(f"'{name}'" for name in sorted(NEUTRAL)))
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS feedback (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL, item TEXT NOT NULL, type TEXT NOT NULL,
    value REAL NOT NULL, time REAL NOT NULL,
    UNIQUE (user, item, type)
);
CREATE TABLE IF NOT EXISTS hidden (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    item TEXT NOT NULL, is_hidden INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS moved (
    id INTEGER PRIMARY KEY AUTOINCREMENT, item TEXT NOT NULL UNIQUE
);
CREATE TRIGGER IF NOT EXISTS move AFTER UPDATE OF time ON feedback
WHEN new.time <> old.time AND new.{TAKEN}
BEGIN
    DELETE FROM moved WHERE item = new.item;
    INSERT INTO moved (item) VALUES (new.item);
END;
CREATE INDEX IF NOT EXISTS taken ON feedback (item, time) WHERE {TAKEN};
"""
FIRST = f"""SELECT time FROM feedback AS one
    WHERE one.item = some.item AND {TAKEN} ORDER BY time LIMIT 1"""
NEW_TAKERS = f"""
SELECT item, SUM(id > :last), ({FIRST}) FROM (
    SELECT item, MIN(id) AS id FROM feedback WHERE {TAKEN} AND (user, item) IN (
        SELECT user, item FROM feedback WHERE id > :last AND {TAKEN}
    ) AND id <= :stop GROUP BY user, item
) AS some GROUP BY item
"""
MOVED = f"SELECT id, item, ({FIRST}) FROM moved AS some WHERE id > ? ORDER BY id"
INSERT = "INSERT INTO feedback (type, user, item, value, time) VALUES (?, ?, ?, ?, ?)"
KEEP = " ON CONFLICT DO NOTHING"
OVERWRITE = " ON CONFLICT DO UPDATE SET value = excluded.value, time = excluded.time"


class FeedbackStore:
    """Feedback and hidden items, kept through a crash at any moment.

    What :meth:`insert` and :meth:`hide` return from is on the disk (a write-ahead log,
    :obj:`synchronous=FULL`). Several processes may share a file: what one of them has
    written, all see in their next look.

    Args:
        folder (str): The folder of the file.

    *Cost:* A connection a thread.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder) / FILE
        self._local = threading.local()
        self._writing = threading.Lock()
        self._connection.executescript(SCHEMA)

    @property
    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "value", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=30.0, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._local.value = connection
        return connection

    def insert(self, rows: Iterable[Feedback], overwrite: bool = False) -> int:
        """Adds feedback, all of it or none.

        Args:
            rows (iterable): The feedback.
            overwrite (bool, optional): If :obj:`True`, a row of the same type, user and
                item gets the new value and time; otherwise it stays.
                (default: :obj:`False`)

        Returns:
            How many rows were added or overwritten.

        *Cost:* A write to the disk.
        """
        sql = INSERT + (OVERWRITE if overwrite else KEEP)
        values = [(row.type, row.user, row.item, row.value, row.time) for row in rows]
        return self._write(sql, values)

    def hide(self, item: str, is_hidden: bool) -> None:
        """Takes an item from all lists, or brings it back.

        *Cost:* A write to the disk.
        """
        row = (item, is_hidden)
        self._write("INSERT INTO hidden (item, is_hidden) VALUES (?, ?)", [row])

    def _write(self, sql: str, rows: Iterable[tuple[object, ...]]) -> int:
        with self._writing:  # Threads wait in a row; SQLite's own wait is a poll.
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                count = connection.executemany(sql, rows).rowcount
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
        return count

    def of_user(self, user: str) -> list[tuple[str, str]]:
        """The types and items of a user's feedback, the latest last.

        *Cost:* O(log rows), and the rows of the user.
        """
        sql = "SELECT type, item FROM feedback WHERE user = ? ORDER BY id"
        return self._connection.execute(sql, (user,)).fetchall()

    def since(self, last: int) -> list[tuple[int, str, float]]:
        """Number, item and time of the feedback after some number.

        *Cost:* O(log rows), and the rows it returns.
        """
        sql = "SELECT id, item, time FROM feedback WHERE id > ? ORDER BY id"
        return self._connection.execute(sql, (last,)).fetchall()

    def takers_since(self, last: int, stop: int) -> list[tuple[str, int, float]]:
        """Items, how many users took each for the first time by the feedback of some
        numbers, and the time it was first taken by anybody. What is only
        :obj:`NEUTRAL` takes no item, and of a user's types for an item one counts.

        Args:
            last (int): The number before the first.
            stop (int): The last number.

        *Cost:* O(log rows) a row in between, and the types that its user has for its
        item.
        """
        found = self._connection.execute(NEW_TAKERS, {"last": last, "stop": stop})
        return found.fetchall()

    def moved_since(self, last: int) -> list[tuple[int, str, float]]:
        """Number, item and time it was first taken, of the items of which a time was
        overwritten after some number.

        *Cost:* O(log rows), also for each row it returns.
        """
        return self._connection.execute(MOVED, (last,)).fetchall()

    def hidden_since(self, last: int) -> list[tuple[int, str, bool]]:
        """Number, item and whether it was hidden, of the changes after some number.

        *Cost:* O(log rows), and the rows it returns.
        """
        sql = "SELECT id, item, is_hidden FROM hidden WHERE id > ? ORDER BY id"
        return self._connection.execute(sql, (last,)).fetchall()

    def close(self) -> None:
        """Closes the connection of this thread."""
        connection = getattr(self._local, "value", None)
        if connection is not None:
            connection.close()
            del self._local.value
