"""A repository at the Hugging Face Hub: what it holds at a commit, and where its files are.

A revision is looked up once; after that its commit is read, so a new upload changes nothing under
a run. Listings come in pages, a folder at a time, as the server limits them.

Source: the client of the Hub, huggingface_hub.
"""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from mrrate_bids.errors import (
    AccessError,
    NetworkError,
    ResourceError,
    SelectionError,
    SourceError,
)
from mrrate_bids.fetching.client import HttpClient
from mrrate_bids.fetching.listing import Entry, Store
from mrrate_bids.fetching.remote import RemoteFile

__all__ = ['HubStore', 'access_help', 'endpoint', 'find_token', 'help_at', 'make_api']

_TYPE = 'dataset'
_T = TypeVar('_T')


def endpoint() -> str:
    """Return the address of the Hub; ``HF_ENDPOINT`` names another one."""
    return os.environ.get('HF_ENDPOINT', '').rstrip('/') or 'https://huggingface.co'


def find_token(given: str) -> str:
    """Return the token that was given, or else the one that who is logged in has."""
    if given:
        return given
    try:
        from huggingface_hub import get_token  # noqa: PLC0415  (an extra)
    except ImportError:
        return ''
    return get_token() or ''


def make_api(token: str) -> Any:
    """Return the client of the Hub.

    Raises
    ------
    ResourceError
        When it is not installed.
    """
    try:
        from huggingface_hub import HfApi  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise ResourceError(
            'fetching from the Hub needs huggingface_hub, which is not installed',
            hint="Install the extra hub: pip install '.[hub]'.",
        ) from error
    return HfApi(endpoint=endpoint(), token=token or False)


def access_help(repository: str) -> str:
    """Return how to get access to a repository."""
    return (
        f'Open {endpoint()}/datasets/{repository} in a browser, log in and accept its terms; '
        'then run hf auth login here, or give a token with --token or HF_TOKEN.'
    )


def help_at(address: str) -> str:
    """Return how to get access to the repository that an address at the Hub is in."""
    inside = address.partition('/datasets/')[2]
    return access_help('/'.join(inside.split('/')[:2]))


class HubStore(Store):
    """A dataset repository of the Hub.

    Parameters
    ----------
    api
        The client of the Hub.
    client
        Asks for bytes.
    repository
        Its id, ``OWNER/NAME``.
    revision
        Branch, tag or commit.
    spool
        Folder for whole files.
    """

    def __init__(
        self, api: Any, client: HttpClient, repository: str, revision: str, *, spool: Path
    ) -> None:
        self._api, self._client, self._spool = api, client, spool
        self._repository, self._asked = repository, revision

    def __str__(self) -> str:
        return f'hf://datasets/{self._repository}'

    @cached_property
    def revision(self) -> str:
        """The commit that is read."""
        info = self._tell(
            lambda: self._api.repo_info(
                self._repository, revision=self._asked or None, repo_type=_TYPE
            )
        )
        return str(info.sha)

    def folder(self, path: str) -> list[Entry]:
        """List a folder; see :meth:`Store.folder`."""
        from huggingface_hub.errors import EntryNotFoundError  # noqa: PLC0415

        def pages() -> list[Any]:
            tree = self._api.list_repo_tree(
                self._repository, path or None, revision=self.revision, repo_type=_TYPE
            )
            return list(tree)

        try:
            found = self._tell(pages)
        except EntryNotFoundError:
            return []
        return sorted(map(self._entry, found), key=lambda entry: entry.name)

    def _entry(self, item: Any) -> Entry:
        from huggingface_hub import hf_hub_url  # noqa: PLC0415

        name = item.path.rpartition('/')[2]
        if not hasattr(item, 'size'):
            return Entry(name, item.path, folder=True)
        address = hf_hub_url(
            self._repository,
            item.path,
            repo_type=_TYPE,
            revision=self.revision,
            endpoint=endpoint(),
        )
        large = item.lfs
        digest = f'sha256:{large.sha256}' if large else f'git:{item.blob_id}'
        file = RemoteFile(
            self._client,
            address,
            size=large.size if large else item.size,
            tag=digest,
            spool=self._spool,
            digest=digest,
        )
        return Entry(name, file)

    def inside(self, path: str) -> Store:
        """Return the repository of that name of the same owner, at a revision of its own."""
        owner, _, _ = self._repository.rpartition('/')
        name, _, revision = path.removeprefix('../').partition('@')
        return HubStore(self._api, self._client, f'{owner}/{name}', revision, spool=self._spool)

    def stop(self) -> None:
        """Let nobody wait for bytes any more."""
        self._client.stop()

    def _tell(self, ask: Callable[[], _T]) -> _T:
        """Ask the Hub, and say in our words what is wrong.

        Raises
        ------
        SourceError, SelectionError
            When there is no such repository, or no such revision of it.
        AccessError
            When it is there, and not for everybody.
        NetworkError
            When the Hub does not answer.
        """
        from huggingface_hub import errors  # noqa: PLC0415

        name = self._repository
        try:
            return ask()
        except errors.EntryNotFoundError:
            raise
        except errors.GatedRepoError as error:
            raise AccessError(
                f'{name} is gated, and you have no access', hint=access_help(name)
            ) from error
        except errors.RevisionNotFoundError as error:
            raise SelectionError(
                f'{name} has no revision {self._asked}',
                hint=f'See {endpoint()}/datasets/{name}/commits/main; of another repository '
                'a revision is given as --revision NAME=REVISION.',
            ) from error
        except errors.RepositoryNotFoundError as error:
            raise SourceError(
                f'{name}: there is no such dataset at {endpoint()}, or it is private',
                hint=f'Look at the spelling. If it is private: {access_help(name)}',
            ) from error
        except errors.OfflineModeIsEnabled as error:
            raise SourceError(
                'HF_HUB_OFFLINE is set, and the Hub is not to be asked',
                hint='Unset it, or see with --offline what is here.',
            ) from error
        except errors.HfHubHTTPError as error:
            raise self._refusal(error) from error
        except Exception as error:
            if not _is_of_network(error):
                raise
            raise NetworkError(f'{endpoint()} cannot be reached ({error})') from error

    def _refusal(self, error: Any) -> Exception:
        status = error.response.status_code if error.response is not None else 0
        text = f'{self._repository}: the Hub answers {status or error}'
        if status in (401, 403):
            return AccessError(text, hint=access_help(self._repository))
        if status == 429:
            hint = 'Too many requests: wait some minutes; who is logged in may ask more often.'
            return NetworkError(text, hint=hint)
        return NetworkError(text)


def _is_of_network(error: Exception) -> bool:
    """Tell whether an error came from the client that huggingface_hub uses, whichever it is."""
    return isinstance(error, OSError) or type(error).__module__.startswith(('httpx', 'requests'))
