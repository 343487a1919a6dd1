"""A web server on the loopback that serves a folder with ranges, and misbehaves on order.

What it does wrong is ordered per request: :meth:`BadServer.order` says which requests and how
often. Every request is in :attr:`BadServer.log`, with the bytes of the body that were sent.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

_PIECE = 1 << 14


@dataclass
class Request:
    """A request that was answered."""

    method: str
    path: str
    range: str
    status: int = 200
    sent: int = 0
    token: str = ''


@dataclass
class Order:
    """What to do wrong, for which paths, how many times, and after how many good answers."""

    fault: str
    ending: str = '.zip'
    times: int = 1
    after: int = 0
    methods: tuple[str, ...] = ('GET',)
    then: Callable[[], object] = field(default=lambda: None)
    """Done when the order is carried out."""


class BadServer:
    """Serve the files below a folder.

    Parameters
    ----------
    root
        The folder.
    rate
        Bytes in a second for each answer; 0 for no limit.
    """

    def __init__(self, root: Path, *, rate: float = 0) -> None:
        self.root, self.rate = root, rate
        self.log: list[Request] = []
        self.orders: list[Order] = []
        self.connections: set[object] = set()
        self.url = ''

    def order(self, fault: str, ending: str = '.zip', **more: object) -> None:
        """Order a fault: ``no-range``, ``short``, ``long``, ``other-range``, ``cut``, ``corrupt``,
        ``slow``, ``stall``, ``replace``, or one of the refusals below.
        """
        self.orders.append(Order(fault, ending, **more))

    @property
    def sent(self) -> int:
        """Bytes in the bodies of all answers."""
        return sum(request.sent for request in self.log)

    def asked(self, ending: str = '.zip') -> list[Request]:
        """Return the requests for some files."""
        return [request for request in self.log if request.path.endswith(ending)]

    def _fault(self, request: web.Request) -> str:
        for order in self.orders:
            meant = request.path.endswith(order.ending) and request.method in order.methods
            if meant and order.times:
                if order.after:
                    order.after -= 1
                    continue
                order.times -= 1
                order.then()
                return order.fault
        return ''

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for a file or a folder."""
        entry = Request(request.method, request.path, request.headers.get('Range', ''))
        entry.token = request.headers.get('Authorization', '')
        self.log.append(entry)
        self.connections.add(request.transport)
        path = self.root / request.path.lstrip('/')
        fault = self._fault(request)
        refusal = _REFUSALS.get(fault)
        if refusal or not path.exists():
            status, headers = refusal or (404, {})
            entry.status = status
            return web.Response(status=status, headers=headers, text='no')
        if path.is_dir():
            page = _index(path)
            entry.sent = len(page)
            return web.Response(body=page, content_type='text/html')
        return await self._file(request, entry, path, fault)

    async def _file(
        self, request: web.Request, entry: Request, path: Path, fault: str
    ) -> web.StreamResponse:
        data = path.read_bytes()
        headers = {'Accept-Ranges': 'bytes', **self.describe(path, data)}
        asked, start = request.http_range, 0
        if entry.range and fault != 'no-range':
            start, stop, _ = slice(asked.start, asked.stop).indices(len(data))
            shown = start + 3 if fault == 'other-range' else start
            headers['Content-Range'] = f'bytes {shown}-{stop - 1}/{len(data)}'
            entry.status, data = 206, data[start:stop]
        length = {'short': len(data) // 2, 'long': len(data) + 99}.get(fault, len(data))
        body = data[:length] + bytes(max(0, length - len(data)))
        if fault == 'corrupt':
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        headers['Content-Length'] = str(len(body))
        response = web.StreamResponse(status=entry.status, headers=headers)
        await response.prepare(request)
        if request.method != 'HEAD':
            await self._send(request, response, entry, body, fault)
        return response

    def describe(self, path: Path, data: bytes) -> dict[str, str]:
        """Return the headers that tell a file from others."""
        return {'ETag': f'"{path.stat().st_mtime_ns:x}-{len(data):x}"'}

    async def _send(self, request, response, entry: Request, body: bytes, fault: str) -> None:
        if fault == 'stall':
            await asyncio.sleep(3)
        for at in range(0, len(body), _PIECE):
            if fault == 'cut' and at >= len(body) // 2:
                request.transport.abort()
                return
            part = body[at : at + _PIECE]
            if fault == 'cut':
                part = part[: max(1, len(body) // 2 - at)]
            await response.write(part)
            entry.sent += len(part)
            if self.rate or fault == 'slow':
                await asyncio.sleep(0.05 if fault == 'slow' else len(part) / self.rate)
        if fault == 'cut':
            request.transport.abort()


_REFUSALS = {
    'busy': (429, {'Retry-After': '1'}),
    'busy for long': (429, {'Retry-After': '99999'}),
    'busy, no date': (429, {'Retry-After': 'soon'}),
    'error': (500, {}),
    'bad': (400, {}),
    'refuse': (403, {}),
    'unknown': (401, {}),
    'gone': (404, {}),
}


def _index(path: Path) -> bytes:
    names = sorted(f'{child.name}/' if child.is_dir() else child.name for child in path.iterdir())
    links = ''.join(f'<a href="{quote(name)}">{name}</a>\n' for name in names)
    return f'<html><a href="../">../</a><a href="?C=M">by date</a>\n{links}</html>'.encode()


@contextmanager
def serving(server: BadServer, *, routes: Callable[[web.Application], None] | None = None):
    """Run a server in a thread of its own."""
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def start() -> web.AppRunner:
        app = web.Application()
        if routes:
            routes(app)
        app.router.add_get('/{path:.*}', server.handle)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, '127.0.0.1', 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        server.url = f'http://{host}:{port}'
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        started.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def served(root: Path, **options: object) -> Iterator[BadServer]:
    """Serve a folder; for fixtures."""
    with serving(BadServer(root, **options)) as server:
        yield server
