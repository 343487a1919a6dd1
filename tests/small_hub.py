"""A server on this machine that answers as the Hugging Face Hub, Zenodo and S3 do.

It serves the files below a folder, with ranges and ETags, and what a test adds to that: a
connection that breaks in the middle, a wrong checksum, an error.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = '4fb8b4a6b2532be9f1c449a3726fe5440ab4213a'


class Hub(ThreadingHTTPServer):
    """The server; *root* has the files, by the path of their URL."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.root = root
        self.requests: list[tuple[str, str]] = []
        """Path and the range that was asked for."""

        self.break_after = 0
        """Bytes after which the next download breaks; 0 for never."""

        self.status = 200
        self.checksums: dict[str, str] = {}
        """What Zenodo's API says of a file, where that is not the truth."""

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.server_port}'

    def handle_error(self, request, client_address):
        """Connections break here on purpose."""


class _Handler(SimpleHTTPRequestHandler):
    server: Hub
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def do_POST(self):
        self._send_json({})

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition('?')[0]
        self.server.requests.append((path, self.headers.get('Range', '')))
        if self.server.status != 200:
            self.send_error(self.server.status)
        elif path.startswith('/api/'):
            self._answer_api(path)
        else:
            self._send_file(path, body=body)

    def _answer_api(self, path: str) -> None:
        if path.startswith('/api/records/'):
            self._send_record(path.removeprefix('/api/records/'))
        elif '/tree/' in path:
            repository = path.removeprefix('/api/').partition('/tree/')[0]
            self._send_json(self._tree(self.server.root / repository))
        elif path.startswith('/api/datasets/'):
            self._send_json({'id': path.removeprefix('/api/datasets/'), 'sha': COMMIT})
        else:
            self._send_json({})

    def _tree(self, folder: Path) -> list[dict[str, object]]:
        found = []
        for path in sorted(folder.rglob('*')):
            entry = {'path': path.relative_to(folder).as_posix(), 'oid': 'a' * 40, 'size': 0}
            if path.is_dir():
                found.append(entry | {'type': 'directory'})
                continue
            data = path.read_bytes()
            large = {'oid': hashlib.sha256(data).hexdigest(), 'size': len(data), 'pointerSize': 9}
            found.append(entry | {'type': 'file', 'size': len(data), 'lfs': large})
        return found

    def _send_record(self, number: str) -> None:
        files = []
        for path in sorted((self.server.root / 'records' / number / 'files').glob('*')):
            data = path.read_bytes()
            md5 = self.server.checksums.get(path.name, hashlib.md5(data).hexdigest())
            files.append({'key': path.name, 'size': len(data), 'checksum': f'md5:{md5}'})
        self._send_json({'id': int(number), 'files': files})

    def _send_json(self, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _send_file(self, path: str, *, body: bool) -> None:
        file = self.server.root / path.strip('/')
        if file.is_dir():
            self._send_index(file)
            return
        if not file.is_file():
            self.send_error(404)
            return
        data = file.read_bytes()
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        start = self._start(etag)
        self.send_response(206 if start else 200)
        self.send_header('ETag', etag)
        self.send_header('X-Repo-Commit', COMMIT)
        self.send_header('Accept-Ranges', 'bytes')
        if start:
            self.send_header('Content-Range', f'bytes {start}-{len(data) - 1}/{len(data)}')
        self.send_header('Content-Length', str(len(data) - start))
        self.end_headers()
        if body:
            self._send_body(data[start:])

    def _start(self, etag: str) -> int:
        """Return the first byte that is asked for; all of a file that has changed meanwhile."""
        asked = self.headers.get('Range', '')
        if not asked or self.headers.get('If-Range', etag) != etag:
            return 0
        return int(asked.removeprefix('bytes=').partition('-')[0])

    def _send_body(self, data: bytes) -> None:
        limit, self.server.break_after = self.server.break_after, 0
        self.wfile.write(data[:limit] if limit else data)
        if limit:
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()

    def _send_index(self, folder: Path) -> None:
        names = [path.name + '/' * path.is_dir() for path in sorted(folder.iterdir())]
        data = ''.join(f'<a href="{name}">{name}</a>\n' for name in names).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'text/html')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(root: Path) -> Iterator[Hub]:
    """Serve a folder for a while."""
    hub = Hub(root)
    thread = threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
