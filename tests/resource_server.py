"""A server of weights and templates: Zenodo, models of the Hugging Face Hub, and S3.

Files have the path of their address; ETags are SHA-256s, as those of large files at the Hub.
"""

import hashlib
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web
from bad_server import BadServer, serving

MODEL_COMMIT = '4fb8b4a6b2532be9f1c449a3726fe5440ab4213a'


class ResourceServer(BadServer):
    """Serve the files below a folder, and what Zenodo tells of a record."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.checksums: dict[str, str] = {}
        """What Zenodo says of a file, where that is not the truth."""

    def routes(self, app: web.Application) -> None:
        """Add what is answered beside files."""
        app.router.add_get('/api/records/{number}', self.record)

    def describe(self, path: Path, data: bytes) -> dict[str, str]:
        """Return the headers of the Hub."""
        return {'ETag': f'"{hashlib.sha256(data).hexdigest()}"', 'X-Repo-Commit': MODEL_COMMIT}

    async def record(self, request: web.Request) -> web.Response:
        """Tell size and MD5 of the files of a record."""
        number, files = request.match_info['number'], []
        for path in sorted((self.root / 'records' / number / 'files').glob('*')):
            data = path.read_bytes()
            md5 = self.checksums.get(path.name, hashlib.md5(data).hexdigest())
            files.append({'key': path.name, 'size': len(data), 'checksum': f'md5:{md5}'})
        return web.json_response({'id': int(number), 'files': files})


@contextmanager
def resources(root: Path):
    """Run a server of a folder."""
    server = ResourceServer(root)
    with serving(server, routes=server.routes):
        yield server
