"""Two servers side by side: slices of load on the one and on the other, in turn."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.load.ratios import Comparison, Slice
from tests.load.servers import Running
from tests.load.traffic import Connection, User, connect, load


@dataclass(frozen=True, slots=True)
class Side:
    """A server, and those who ask it, one on each connection."""

    server: Running
    users: Sequence[User]

    async def slice(self, connections: list[Connection], seconds: float) -> Slice:
        """Load for so long. Connections that the server has closed meanwhile are opened anew."""
        for index, connection in enumerate(connections):
            if not connection.is_open:
                [connections[index]] = await connect(self.server.port, 1)
        before = self.server.cpu()
        requests, lasted = await load(connections, self.users, seconds)
        return Slice(requests, lasted, self.server.cpu() - before)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Without a goal it only informs."""

    name: str
    goal: float | None
    ours: Side
    floor: Side


async def compare(row: Row, pairs: int, seconds: float) -> AsyncIterator[Comparison]:
    """Ours, floor, floor, ours, ours, floor ...: what drifts meets both alike. Gives what there is after each pair."""
    found = Comparison()
    async with _warm(row.ours, seconds) as ours, _warm(row.floor, seconds) as floor:
        for number in range(pairs):
            if number % 2 == 0:
                found.ours.append(await row.ours.slice(ours, seconds))
            found.floor.append(await row.floor.slice(floor, seconds))
            if number % 2 == 1:
                found.ours.append(await row.ours.slice(ours, seconds))
            yield found


@asynccontextmanager
async def _warm(side: Side, seconds: float) -> AsyncIterator[list[Connection]]:
    """Connected, and one slice done that does not count."""
    connections = await connect(side.server.port, len(side.users))
    try:
        await side.slice(connections, seconds)
        yield connections
    finally:
        for connection in connections:
            connection.close()
