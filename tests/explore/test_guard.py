"""Who is answered: this machine, or who has the token; never another page."""

import pytest
from starlette.testclient import TestClient

from fedlayers.core.errors import UserError
from fedlayers.explore.app import application
from fedlayers.explore.place import Place
from fedlayers.explore.serving import check_token
from tests.support.fake_run import write_run

TOKEN = "a-secret-of-our-own-0123"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place.at(write_run(tmp_path_factory.mktemp("study")))


def ask(place: Place, words: dict[str, str], token: str | None = None, address: str = "/api/runs") -> int:
    client = TestClient(application(place, token, ["node7"] if token else ()), base_url="http://127.0.0.1:8000")
    headers = {name.encode(): word.encode() for name, word in words.items()}
    return client.get(address, headers=headers).status_code


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000", "10.0.0.7:8000"])
def test_addresses_and_own_names_are_answered(place: Place, host: str) -> None:
    assert ask(place, {"Host": host}) == 200


@pytest.mark.parametrize("host", [
    "evil.example", "127.0.0.1.evil.example", "", "[", "localhost@evil.example", "evil.example:80@127.0.0.1", "node7",
])  # fmt: skip
def test_foreign_hosts_are_refused(place: Place, host: str) -> None:
    assert ask(place, {"Host": host}) == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8000"])
def test_foreign_origins_are_refused(place: Place, origin: str) -> None:
    assert ask(place, {"Host": "127.0.0.1:8000", "Origin": origin}) == 403


def test_what_the_browser_says_of_another_page_counts(place: Place) -> None:
    assert ask(place, {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000"}) == 200
    assert ask(place, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}) == 403
    assert ask(place, {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}) == 403
    assert ask(place, {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}) == 200
    assert ask(place, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, address="/docs") == 200


def test_a_token_is_asked_for_and_left_as_a_cookie(place: Place) -> None:
    assert ask(place, {}, TOKEN) == 401
    assert ask(place, {"Authorization": "Bearer wrong"}, TOKEN) == 401
    assert ask(place, {"Authorization": "Bearer ünlike"}, TOKEN) == 401
    assert ask(place, {"Authorization": f"Bearer {TOKEN}", "Host": "node7:80"}, TOKEN) == 200
    client = TestClient(application(place, TOKEN), base_url="http://127.0.0.1:8000")
    assert client.get(f"/docs?token={TOKEN}").status_code == 200
    assert client.get("/docs").status_code == 200


@pytest.mark.parametrize(("host", "token", "sentence"), [
    ("0.0.0.0", None, "--token is needed with --host 0.0.0.0"),
    ("node7", None, "--token is needed with --host node7"),
    ("127.0.0.1", "short", "--token must be at least 16 letters.*got 5 characters"),
    ("0.0.0.0", "a b c d e f g h i j k", "--token must be at least 16 letters"),
])  # fmt: skip
def test_what_others_could_ask_needs_a_good_token(host: str, token: str | None, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check_token(host, token)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.5"])
def test_this_machine_needs_none(host: str) -> None:
    check_token(host, None)
