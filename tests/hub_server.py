"""A server that speaks what is used of the Hugging Face Hub: revisions, listings, files, gates.

Large files are handed out by another address, as the Hub does, which takes no token and forgets
whom it let in after a while.
"""

import hashlib
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from aiohttp import web
from bad_server import BadServer, Request, serving

COMMIT = 'c0ffee' + 34 * '0'
_PAGE = 3
_LARGE = '.zip'


class HubServer(BadServer):
    """Serve the folders of a release as repositories of one owner.

    Parameters
    ----------
    root
        The release; each folder is a repository.
    owner
        Who owns them.
    token
        Who has access to what is gated.
    """

    def __init__(self, root: Path, *, owner: str = 'Forithmus', token: str = 'hf_good') -> None:
        super().__init__(root)
        self.owner, self.token = owner, token
        self.gated: set[str] = set()
        self.revisions = {'main', COMMIT}
        self.lives = -1
        """How many requests an address of a large file answers."""

        self.tickets: dict[str, int] = {}

    def routes(self, app: web.Application) -> None:
        """Add what the Hub answers beside files."""
        base = f'/api/datasets/{self.owner}/{{name}}'
        app.router.add_get(base, self.info)
        app.router.add_get(f'{base}/revision/{{revision}}', self.info)
        app.router.add_get(f'{base}/tree/{{revision}}', self.tree)
        app.router.add_get(f'{base}/tree/{{revision}}/{{path:.*}}', self.tree)
        resolve = f'/datasets/{self.owner}/{{name}}/resolve/{{revision}}/{{path:.*}}'
        app.router.add_get(resolve, self.resolve)
        app.router.add_get('/cdn/{ticket}/{path:.*}', self.cdn)

    def _note(self, request: web.Request, status: int = 200) -> None:
        token = request.headers.get('Authorization', '')
        self.log.append(Request(request.method, request.path, '', status, token=token))

    def _refusal(self, request: web.Request, *, files: bool = False) -> web.Response | None:
        name, revision = request.match_info['name'], request.match_info.get('revision', 'main')
        fault = self._fault(request)
        if fault == 'busy':
            return web.Response(status=429, headers={'Retry-After': '0'})
        if not (self.root / name).is_dir():
            return _no(404, 'RepoNotFound', 'Repository not found')
        if revision not in self.revisions:
            return _no(404, 'RevisionNotFound', f'Invalid rev id: {revision}')
        known = request.headers.get('Authorization') == f'Bearer {self.token}'
        if files and name in self.gated and not known:
            given = 'Authorization' in request.headers
            return _no(403 if given else 401, 'GatedRepo', f'Access to {name} is restricted.')
        return None

    async def info(self, request: web.Request) -> web.Response:
        """Tell the commit of a revision."""
        refusal = self._refusal(request)
        self._note(request, refusal.status if refusal else 200)
        name = f'{self.owner}/{request.match_info["name"]}'
        return refusal or web.json_response({'id': name, 'sha': COMMIT, 'tags': []})

    async def tree(self, request: web.Request) -> web.Response:
        """List a folder, a page at a time."""
        refusal = self._refusal(request)
        self._note(request, refusal.status if refusal else 200)
        if refusal:
            return refusal
        folder = self.root / request.match_info['name'] / request.match_info.get('path', '')
        if not folder.is_dir():
            return _no(404, 'EntryNotFound', 'Entry not found')
        begin = int(request.query.get('cursor', 0))
        children = sorted(folder.iterdir())
        page = [self._entry(child) for child in children[begin : begin + _PAGE]]
        headers = {}
        if begin + _PAGE < len(children):
            link = request.url.update_query(cursor=begin + _PAGE)
            headers['Link'] = f'<{link}>; rel="next"'
        return web.json_response(page, headers=headers)

    def _entry(self, path: Path) -> dict[str, object]:
        name = path.relative_to(self.root).as_posix().partition('/')[2]
        if path.is_dir():
            return {'type': 'directory', 'oid': 40 * 'd', 'size': 0, 'path': name}
        data = path.read_bytes()
        blob = hashlib.sha1(b'blob %d\0' % len(data) + data).hexdigest()
        entry = {'type': 'file', 'oid': blob, 'size': len(data), 'path': name}
        if path.suffix == _LARGE:
            digest = hashlib.sha256(data).hexdigest()
            entry['lfs'] = {'oid': digest, 'size': len(data), 'pointerSize': 130}
        return entry

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        """Send a small file, or on to where a large one is."""
        refusal = self._refusal(request, files=True)
        if refusal:
            self._note(request, refusal.status)
            return refusal
        name, path = request.match_info['name'], request.match_info['path']
        if path.endswith(_LARGE):
            self._note(request, 302)
            ticket = f'ticket{len(self.tickets)}'
            self.tickets[ticket] = self.lives
            where = quote(f'/cdn/{ticket}/{name}/{path}')
            # The same server under another name is another one.
            host = str(request.url.origin()).replace('127.0.0.1', 'localhost')
            raise web.HTTPFound(f'{host}{where}')
        return await self.handle(request.clone(rel_url=f'/{name}/{path}'))

    async def cdn(self, request: web.Request) -> web.StreamResponse:
        """Send a large file to who has a ticket."""
        ticket = request.match_info['ticket']
        if not self.tickets.get(ticket) or 'Authorization' in request.headers:
            self._note(request, 403)
            return web.Response(status=403)
        self.tickets[ticket] -= 1
        return await self.handle(request.clone(rel_url=f'/{request.match_info["path"]}'))


def _no(status: int, code: str, message: str) -> web.Response:
    headers = {'X-Error-Code': code, 'X-Error-Message': message}
    return web.json_response({'error': message}, status=status, headers=headers)


@contextmanager
def hub(root: Path, **options: object):
    """Run a Hub with the repositories of a release."""
    server = HubServer(root, **options)
    with serving(server, routes=server.routes):
        yield server
