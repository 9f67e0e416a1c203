"""Exported models to a model hub and from it (the extra ``hub``, which is huggingface_hub).

What comes from a hub is a stranger's: nothing is downloaded but what the card lists, no kind of
file that could run is taken, and sizes and SHA-256 are compared before the folder appears.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galgen.errors import CheckpointError, ConfigError, OutputError, UserError
from galgen.export.folder import HARMLESS, building, check_free, listed, verify
from galgen.exported import CARD, PAGE, read_card

#: What a hub or its website adds to a model by itself; never downloaded, but no reason to refuse.
_HUBS_OWN = (".gitattributes", "LICENSE", "LICENCE")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
#: Bytes of a card and of a page, which no card lists; a card with all that it may hold has less.
_MOST = 4 * 1024**2
_LOG_IN = "log in with hf auth login, or set HF_TOKEN"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Remote:
    """A model on a hub.

    Attributes
    ----------
    repo
        OWNER/NAME.
    url
        Its page, where the hub says it.
    commit
        Version of the files.
    """

    repo: str
    url: str
    commit: str


def to_send(folder: Path) -> list[str]:
    """Names of an exported folder's files that `push` sends, all checked.

    Raises
    ------
    CheckpointError
        If the folder is not what was exported.
    """
    names = verify(folder, read_card(folder), folder)
    return [CARD, *([PAGE] if (folder / PAGE).is_file() else []), *names]


def push(folder: str | Path, repo: str, *, public: bool = False) -> Remote:
    """Send an exported folder to a hub, as one commit; other files of the folder stay here.

    Parameters
    ----------
    folder
        As `galgen.export.export` writes it.
    repo
        OWNER/NAME; made if it is not there.
    public
        Let everybody see it. Without, it is private, and one that is public already is refused.

    Raises
    ------
    CheckpointError
        If the folder is not what was exported.
    ConfigError
        If `repo` is no name, or huggingface_hub is not installed.
    OutputError
        If the hub cannot be reached or does not take it.
    """
    folder, repo = Path(folder), check_repo(repo)
    names, card = to_send(folder), read_card(folder)
    api = _api()
    with _explained(repo, None, OutputError):
        seen = _make(api, repo, private=not public)
        if seen and not public:
            raise OutputError(
                f"{repo} is there already and everybody can see it: say --public if they shall see "
                "this model, or give another name."
            )
        sent = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            allow_patterns=names,
            commit_message=f"{card.get('name', 'model')}, exported by galgen",
        )
    return Remote(repo, f"{api.endpoint}/{repo}", str(sent.oid))


def _make(api: Any, repo: str, private: bool) -> bool:
    """Make a model's place on the hub; True if it was there, and everybody can see it."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return not api.model_info(repo).private
    except RepositoryNotFoundError:
        api.create_repo(repo, private=private, exist_ok=True)
        return False


def pull(
    repo: str,
    folder: str | Path | None = None,
    *,
    revision: str | None = None,
    overwrite: bool = False,
) -> tuple[Path, Remote]:
    """Fetch an exported model from a hub into a folder, which appears when all of it is checked.

    Parameters
    ----------
    repo
        OWNER/NAME.
    folder
        New or empty; by default NAME in the current folder.
    revision
        Branch, tag or commit; by default the newest.
    overwrite
        Take the place of a model that was exported or pulled there before.

    Raises
    ------
    CheckpointError
        If there is no such model, it is not one of galgen's, or what came is not what its card
        lists.
    ConfigError
        If `repo` is no name, or huggingface_hub is not installed.
    OutputError
        If the folder is taken or cannot be written.
    """
    repo = check_repo(repo)
    folder = Path(repo.split("/")[1]) if folder is None else Path(folder)
    check_free(folder, overwrite)
    api = _api()
    with _explained(repo, revision, CheckpointError):
        info = api.model_info(repo, revision=revision, files_metadata=True)
    sizes = {str(file.rfilename): file.size for file in info.siblings or ()}
    check_names(set(sizes), repo)
    for name in {CARD, PAGE} & set(sizes):
        if sizes[name] is None or sizes[name] > _MOST:
            raise CheckpointError(
                f"{repo}: its {name} has more than 4 MB, or the hub does not say how many, so it "
                "was not downloaded."
            )
    with building(folder) as temporary, _explained(repo, revision, CheckpointError):

        def fetch(name: str) -> None:
            api.hf_hub_download(repo, name, revision=info.sha, local_dir=temporary)

        fetch(CARD)
        card = read_card(temporary, repo)
        files = listed(card, repo)
        for name, (size, _) in files.items():
            if name not in sizes:
                raise CheckpointError(f"{repo} lacks {name}, which its {CARD} lists.")
            if sizes[name] != size:
                raise CheckpointError(
                    f"{repo}: {name} is not the file that its {CARD} lists ({size:,} bytes there, "
                    f"{sizes[name]} on the hub), so it was not downloaded."
                )
        for name in (*files, *({PAGE} & set(sizes))):
            fetch(name)
        # Where huggingface_hub keeps notes on what it downloaded.
        shutil.rmtree(temporary / ".cache", ignore_errors=True)
        verify(temporary, card, repo)
    return folder, Remote(repo, f"{api.endpoint}/{repo}", str(info.sha))


def check_repo(repo: str) -> str:
    """OWNER/NAME.

    Raises
    ------
    ConfigError
        If it is not of that form.
    """
    if not _REPO.fullmatch(repo):
        raise ConfigError(f"REPO {repo}: give OWNER/NAME, as the hub calls it.")
    return repo


def check_names(names: set[str], repo: str) -> None:
    """Refuse what is no exported model, before anything of it is downloaded.

    Raises
    ------
    CheckpointError
        If there is no card, or a file that could run.
    """
    strange = sorted(n for n in names if n not in _HUBS_OWN and (
        "/" in n or "\\" in n or not n.endswith(HARMLESS)))  # fmt: skip
    if strange:
        raise CheckpointError(
            f"{repo} holds {', '.join(strange[:3])}{' and more' if len(strange) > 3 else ''}, and "
            "a model of galgen has no such files, so nothing was downloaded."
        )
    if CARD not in names:
        raise CheckpointError(f"{repo} is no model of galgen: it holds no {CARD}.")


def quiet() -> None:
    """No bars of huggingface_hub's own."""
    _api()
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined,unused-ignore]

    disable_progress_bars()


def _api() -> Any:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise ConfigError(
            "model hubs are reached through the package huggingface_hub, which is not installed: "
            "install galgen[hub]."
        ) from None
    from galgen import __version__

    # Said here, so that it holds whenever it is set.
    endpoint = os.environ.get("HF_ENDPOINT") or None
    return HfApi(endpoint, library_name="galgen", library_version=__version__)


@contextmanager
def _explained(repo: str, revision: str | None, kind: type[UserError]) -> Iterator[None]:
    """One sentence for whatever the hub or the way to it does."""
    from huggingface_hub import errors as hub

    try:
        yield
    except UserError:
        raise
    except hub.GatedRepoError:
        raise kind(
            f"{repo} is for those alone who accepted its terms: do so on its page, and {_LOG_IN}."
        ) from None
    except hub.RepositoryNotFoundError:
        raise kind(
            f"the hub has no {repo}, or does not show it to you: check the name, or {_LOG_IN}."
        ) from None
    except hub.RevisionNotFoundError:
        raise kind(f"--revision {revision}: {repo} has no branch, tag or commit of it.") from None
    except hub.HFValidationError as error:
        detail = " ".join(str(error).split())
        raise ConfigError(f"REPO {repo} is no name for a model ({detail}).") from None
    except hub.LocalTokenNotFoundError:
        raise kind(f"{repo}: the hub does not know you: {_LOG_IN}.") from None
    except hub.HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise kind(
                f"the hub does not let you do this with {repo}: {_LOG_IN}, with a token that may."
            ) from None
        raise kind(f"{repo}: the hub answered with error {status}: try again later.") from None
    except hub.OfflineModeIsEnabled:
        raise kind("the hub is out of reach: HF_HUB_OFFLINE is set.") from None
    except OSError as error:
        if error.errno in _DISK:
            raise
        raise kind(_unreachable(error)) from None
    except hub.HTTPError as error:  # type: ignore[attr-defined,unused-ignore]
        raise kind(_unreachable(error)) from None


def _unreachable(error: Exception) -> str:
    return f"the hub cannot be reached ({type(error).__name__}): check the network, or try later."
