"""Accounts, sessions and API keys: who has ended is refused, and nobody else, whatever was done before."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.api.client import Client, JsonObject, Reply, ok, unique
from tests.api.state_machines.bench import Bench
from vitrina.clock import rfc3339

pytestmark = pytest.mark.slow

EMAILS = st.sampled_from(["ana", "Ana", "ben", "cleo"])
PASSWORDS = st.sampled_from(["blue-lantern-2026", "green-harbour-2026"])
ROLES = st.sampled_from(["user", "admin"])
NUMBERS = st.sampled_from([0, 0, 0, *range(10)])
"""Which account, session or key: the first one most often, so that much happens to one."""


@dataclass(slots=True)
class Session:
    """A sign-in that has not ended: all its access tokens, and its refresh tokens, of which the last one is current."""

    id: str
    access: list[str]
    refresh: list[str]


@dataclass(slots=True)
class Account:
    """An account, its password, and what it is signed in by."""

    seen: JsonObject
    password: str
    sessions: dict[str, Session] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)


class AccountMachine(RuleBasedStateMachine):
    """Accounts act for themselves, and a super_admin manages them."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.domain = f"{unique('sm')}.example"
        self.accounts: list[Account] = []
        self.ended: list[Session] = []
        self.ended_keys: list[str] = []
        self.gone: list[str] = []
        bench.service.clock.at = bench.service.clock.at
        self.began = rfc3339(bench.service.clock.at)

    @initialize(password=PASSWORDS)
    def begin(self, password: str) -> None:
        """Create an admin who is signed in twice, since most of the rest needs one."""
        self.create("ana", password, "admin")
        self.sign_in("ana", password)
        self.sign_in("Ana", password)
        self.create_key(0, "read")

    @rule(name=EMAILS, password=PASSWORDS, role=st.one_of(st.none(), ROLES))
    def create(self, name: str, password: str, role: str | None) -> None:
        """Register an account, or let the super_admin create one of a role."""
        body = {"email": self._email(name), "password": password, "name": "Somebody"}
        if role is None:
            reply = self._post("/v1/auth/register", body)
        else:
            reply = self._post("/v1/users", body | {"role": role}, self.bench.super_admin)
        if self._holder(name) is not None:
            assert (reply.status, reply.json["code"]) == (409, "email_taken")
        else:
            made = ok(reply, 201)
            expected = {"email": body["email"], "role": role or "user", "active": True, "version": 1}
            assert made == made | expected
            self.accounts.append(Account(made, password))

    @rule(
        number=NUMBERS,
        role=st.one_of(st.none(), ROLES),
        active=st.sampled_from([None, None, True, True, False]),
        back=st.booleans(),
    )
    def manage(self, number: int, role: str | None, active: bool | None, back: bool) -> None:  # noqa: FBT001 - as drawn
        """Give an account another role, deactivate or activate it, and perhaps undo that: what has ended stays so."""
        account = self._account(number)
        if account is None:
            return
        changes = {name: value for name, value in (("role", role), ("active", active)) if value is not None}
        before, sessions, keys = account.seen, account.sessions, account.keys
        for wanted in (changes, {name: before[name] for name in changes})[: 1 + back]:
            was_admin, was_active = account.seen["role"] == "admin", account.seen["active"]
            self._change(account, wanted)
            is_admin, deactivated = account.seen["role"] == "admin", was_active and not account.seen["active"]
            if deactivated or was_admin is not is_admin:
                self._end(account)
            if deactivated or (was_admin and not is_admin):
                self._end_keys(account)
        ended = [session.access[-1] for session in sessions.values() if session.id not in account.sessions]
        for credential in (*ended, *(text for key_id, text in keys.items() if key_id not in account.keys)):
            assert self._status(credential, "/v1/products/deleted") == 401

    @rule(number=NUMBERS, name=EMAILS)
    def rename(self, number: int, name: str) -> None:
        """Give an account another e-mail, which may be taken."""
        account = self._account(number)
        if account is None:
            return
        if self._holder(name) not in {None, account.seen["id"]}:
            reply = self.bench.run(
                self.bench.super_admin.patch(f"/v1/users/{account.seen['id']}", {"email": self._email(name)})
            )
            assert (reply.status, reply.json["code"]) == (409, "email_taken")
        else:
            self._change(account, {"email": self._email(name)})

    @rule(number=NUMBERS, password=PASSWORDS)
    def reset_password(self, number: int, password: str) -> None:
        """Let the super_admin set a password: it ends all sessions, and no key."""
        account = self._account(number)
        if account is not None:
            self._change(account, {"password": password}, always=True)
            account.password = password
            self._end(account)

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        """Delete an account."""
        account = self._account(-1 - number)  # The last ones most often.
        if account is not None:
            path = f"/v1/users/{account.seen['id']}"
            ok(self.bench.run(self.bench.super_admin.delete(path)), 204)
            assert self.bench.run(self.bench.super_admin.get(path)).status == 404
            self._end(account)
            self._end_keys(account)
            self.accounts.remove(account)
            self.gone.append(account.seen["id"])

    @rule(name=EMAILS, password=st.one_of(st.none(), PASSWORDS))
    def sign_in(self, name: str, password: str | None) -> None:
        """Sign in by the account's password, or by one that may be wrong."""
        holder = self._holder(name)
        account = next((each for each in self.accounts if each.seen["id"] == holder), None)
        password = password or (account.password if account is not None else "blue-lantern-2026")
        reply = self._post("/v1/auth/login", {"email": self._email(name), "password": password})
        if account is None or account.password != password or not account.seen["active"]:
            assert (reply.status, reply.json["code"]) == (401, "invalid_credentials")
        else:
            self._begin_session(account, reply)

    @rule(number=NUMBERS, reused=st.sampled_from([None, None, 0, -2]))
    def refresh(self, number: int, reused: int | None) -> None:
        """Spend a refresh token, and perhaps one that was spent before, which ends the session."""
        account, session = self._session(number)
        if session is None:
            return
        reply = self._post("/v1/auth/refresh", {"refresh_token": session.refresh[-1]})
        if account is None:
            assert (reply.status, reply.json["code"]) == (401, "invalid_token")
            return
        tokens = ok(reply)
        assert tokens["session_id"] == session.id
        session.access.append(tokens["access_token"])
        session.refresh.append(tokens["refresh_token"])
        if reused is not None:
            reply = self._post("/v1/auth/refresh", {"refresh_token": session.refresh[reused]})
            assert (reply.status, reply.json["code"]) == (401, "token_reused")
            assert self._status(session.access[-1], "/v1/me") == 401
            self.ended.append(account.sessions.pop(session.id))

    @rule(number=NUMBERS, other=NUMBERS, by_id=st.booleans())
    def sign_out(self, number: int, other: int, by_id: bool) -> None:  # noqa: FBT001 - as drawn
        """End a session by itself, or one of any account by its id."""
        account, session = self._session(number)
        if account is None or session is None:
            return
        client = self._bearing(session.access[-1])
        if not by_id:
            ok(self.bench.run(client.post("/v1/auth/logout")), 204)
            self.ended.append(account.sessions.pop(session.id))
            return
        _, target = self._session(other)
        assert target is not None
        reply = self.bench.run(client.delete(f"/v1/auth/sessions/{target.id}"))
        if target.id in account.sessions:
            ok(reply, 204)
            self.ended.append(account.sessions.pop(target.id))
        else:
            assert reply.status == 404

    @rule(number=NUMBERS, current=PASSWORDS, new=PASSWORDS)
    def change_password(self, number: int, current: str, new: str) -> None:
        """Change one's own password: the other sessions end."""
        account, session = self._session(number)
        if account is None or session is None:
            return
        client = self._bearing(session.access[-1])
        reply = self.bench.run(client.post("/v1/auth/password", {"current_password": current, "new_password": new}))
        if current != account.password:
            assert (reply.status, reply.json["code"]) == (422, "wrong_password")
            return
        ok(reply, 204)
        account.password = new
        self.ended += [each for each in account.sessions.values() if each is not session]
        account.sessions = {session.id: session}
        after = ok(self.bench.run(client.get("/v1/me")))
        assert after["version"] == account.seen["version"] + 1
        account.seen = after

    @rule(number=NUMBERS, scope=st.sampled_from(["read", "manage"]))
    def create_key(self, number: int, scope: str) -> None:
        """Create an API key, which only admins may."""
        account, session = self._session(number)
        if account is None or session is None:
            return
        reply = self._post("/v1/auth/keys", {"name": "Till", "scope": scope}, self._bearing(session.access[0]))
        if account.seen["role"] == "user":
            assert reply.status == 403
        else:
            made = ok(reply, 201)
            account.keys[made["id"]] = made["key"]

    @rule(number=NUMBERS, place=NUMBERS)
    def delete_key(self, number: int, place: int) -> None:
        """Delete one of one's own API keys."""
        account, session = self._session(number)
        if account is None or session is None or not account.keys:
            return
        key_id = list(account.keys)[place % len(account.keys)]
        path = f"/v1/auth/keys/{key_id}"
        ok(self.bench.run(self._bearing(session.access[-1]).delete(path)), 204)
        assert self.bench.run(self._bearing(session.access[-1]).delete(path)).status == 404
        self.ended_keys.append(account.keys.pop(key_id))

    @rule(number=NUMBERS)
    def look(self, number: int) -> None:
        """Use all credentials of an account."""
        if (account := self._account(number)) is not None:
            self._compare(account)

    def teardown(self) -> None:
        """Use all credentials that there are and were, and compare the lists."""
        for account in self.accounts:
            self._compare(account)
        for session in self.ended:
            for token in session.access[-1:]:
                assert self._status(token, "/v1/me") == 401
            reply = self._post("/v1/auth/refresh", {"refresh_token": session.refresh[-1]})
            assert (reply.status, reply.json["code"]) == (401, "invalid_token")
        for key in self.ended_keys:
            assert self._status(key, "/v1/products/deleted") == 401
        wanted = [each.seen for each in self.accounts]
        self.bench.eventually(
            lambda: [self._listed().get(each.seen["id"]) for each in self.accounts],
            wanted,
        )
        self.bench.eventually(lambda: self._listed().keys() & set(self.gone), set())

    def _listed(self) -> dict[str, JsonObject]:
        return self.bench.newest(self.bench.super_admin, "/v1/users", by="created_at", since=self.began)

    def _compare(self, account: Account) -> None:
        for session in account.sessions.values():
            for token in session.access[-2:]:
                assert ok(self.bench.run(self._bearing(token).get("/v1/me"))) == account.seen
        for key in account.keys.values():
            assert self._status(key, "/v1/products/deleted") == 200
            assert self._status(key, "/v1/me") == 403
        if account.sessions:
            client = self._bearing(next(iter(account.sessions.values())).access[-1])
            self.bench.eventually(
                lambda: sorted(it["id"] for it in self.bench.listed(client, "/v1/auth/sessions")),
                sorted(account.sessions),
            )
            if account.seen["role"] == "admin":
                self.bench.eventually(
                    lambda: sorted(it["id"] for it in self.bench.listed(client, "/v1/auth/keys")), sorted(account.keys)
                )

    def _change(self, account: Account, changes: JsonObject, *, always: bool = False) -> None:
        """Let the super_admin change an account, and compare the response."""
        path = f"/v1/users/{account.seen['id']}"
        after = ok(self.bench.run(self.bench.super_admin.patch(path, changes)))
        wanted = account.seen | {name: value for name, value in changes.items() if name != "password"}
        version = account.seen["version"] + (always or wanted != account.seen)
        assert after == wanted | {"updated_at": after["updated_at"], "version": version}
        account.seen = after

    def _end(self, account: Account) -> None:
        self.ended += account.sessions.values()
        account.sessions = {}

    def _end_keys(self, account: Account) -> None:
        self.ended_keys += account.keys.values()
        account.keys = {}

    def _email(self, name: str) -> str:
        return f"{name}@{self.domain}"

    def _holder(self, name: str) -> str | None:
        """Return the id of the account with an e-mail, in any case."""
        email = self._email(name).lower()
        return next((each.seen["id"] for each in self.accounts if each.seen["email"].lower() == email), None)

    def _account(self, number: int) -> Account | None:
        return self.accounts[number % len(self.accounts)] if self.accounts else None

    def _session(self, number: int) -> tuple[Account | None, Session | None]:
        """Return a session and its account, which is None if the session has ended.

        If nobody is signed in, somebody signs in first, since most changes of an account end all its sessions.
        """
        active = [account for account in self.accounts if account.seen["active"]]
        if active and not any(account.sessions for account in active):
            account = active[number % len(active)]
            credentials = {"email": account.seen["email"], "password": account.password}
            self._begin_session(account, self._post("/v1/auth/login", credentials))
        pairs = [(account, session) for account in self.accounts for session in account.sessions.values()]
        found = [*pairs, *((None, session) for session in self.ended[-2:])]
        return found[number % len(found)] if found else (None, None)

    @staticmethod
    def _begin_session(account: Account, reply: Reply) -> None:
        tokens = ok(reply)
        session = Session(tokens["session_id"], [tokens["access_token"]], [tokens["refresh_token"]])
        account.sessions[session.id] = session

    def _bearing(self, token: str) -> Client:
        return self.bench.anonymous.bearing(token)

    def _status(self, token: str, path: str) -> int:
        return self.bench.run(self._bearing(token).get(path)).status

    def _post(self, path: str, body: object, client: Client | None = None) -> Reply:
        self.bench.service.clock.go_on(seconds=1)
        return self.bench.run((client or self.bench.anonymous).post(path, body))


async def test_accounts_agree_with_the_model(run: Callable[[Callable[[Bench], RuleBasedStateMachine]], None]) -> None:
    await asyncio.to_thread(run, AccountMachine)
