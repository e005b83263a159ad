"""Sign-in, sign-out, tokens and sessions (R14)."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from vitrina.clock import Clock, now
from vitrina.domain.pages import Page, Position
from vitrina.domain.users import Principal, Session, User, canonical_email
from vitrina.errors import (
    Allowance,
    InvalidCredentials,
    InvalidToken,
    NotFound,
    TableUnavailable,
    TokenReused,
    WrongPassword,
)
from vitrina.ids import is_id, new_id
from vitrina.services.accounts.accounts import check_password
from vitrina.services.accounts.api_keys import PREFIX, ApiKeys
from vitrina.services.accounts.passwords import Passwords
from vitrina.services.accounts.throttle import Throttle
from vitrina.services.accounts.tokens import ACCESS, REFRESH, Claims, Tokens
from vitrina.store.sessions import SessionStore
from vitrina.store.users import UserStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """The tokens of a session after a sign-in or a refresh; lifetimes are in seconds."""

    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    session_id: str


class Authentication:
    """Exchanges passwords for sessions, and tokens for principals; lifetimes are in seconds."""

    def __init__(
        self,
        users: UserStore,
        sessions: SessionStore,
        *,
        passwords: Passwords,
        tokens: Tokens,
        throttle: Throttle,
        api_keys: ApiKeys,
        access_lifetime: int,
        refresh_lifetime: int,
        clock: Clock = now,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._passwords = passwords
        self._tokens = tokens
        self._throttle = throttle
        self._api_keys = api_keys
        self._access_lifetime = access_lifetime
        self._refresh_lifetime = refresh_lifetime
        self._clock = clock

    async def authenticate(self, token: str) -> Principal:
        """Return the principal of an access token, by 1 call, or of an API key. Raises InvalidToken.

        The account and the session are read at each request, so a session that is ended is refused at once.
        """
        if token.startswith(PREFIX):
            return await self._api_keys.authenticate(token)
        at = self._clock()
        user, session = await self._verified(self._tokens.verify(token, kind=ACCESS, at=at), at)
        return Principal(user=user, credential=session)

    async def sign_in(self, email: str, password: str, *, address: str, user_agent: str) -> tuple[TokenPair, Allowance]:
        """Start a session. Raises InvalidCredentials, which does not say what was wrong, RateLimited, Overloaded."""
        async with self._throttle.sign_in(email, address) as allowance:
            user, password_hash = await self._users.with_password(email) or (None, None)
            usable = user is not None and user.active
            given = password_hash if usable else None
            matches = await self._passwords.matches(password, given, owner=canonical_email(email))
            if user is None or not matches:
                log.info("sign_in_refused", account_id=user and user.id)
                raise InvalidCredentials
        at = self._clock()
        session = Session(
            id=new_id(),
            user_id=user.id,
            epoch=user.session_epoch,
            generation=1,
            # aiohttp decodes bytes that are not UTF-8 as surrogates, which JSON cannot hold.
            user_agent=user_agent.encode(errors="replace").decode(),
            created_at=at,
            refreshed_at=at,
            expires_at=at + timedelta(seconds=self._refresh_lifetime),
        )
        await asyncio.gather(self._sessions.create(session), self._prune(user, keep=session.id, at=at))
        log.info("signed_in", account_id=user.id, session_id=session.id)
        return self._pair(session), allowance

    async def _prune(self, user: User, *, keep: str, at: datetime) -> None:
        """Remove sessions that have ended or are too many; if the table is unavailable, the next sign-in does."""
        try:
            await self._sessions.prune(user, keep=keep, at=at)
        except TableUnavailable:
            log.warning("sessions_not_pruned", account_id=user.id)

    async def refresh(self, token: str) -> TokenPair:
        """Exchange a refresh token for a new pair. Raises InvalidToken, and TokenReused for one that was used before.

        A token that is used twice may have been stolen, so its session is ended (RFC 9700 section 4.14.2).
        """
        at = self._clock()
        claims = self._tokens.verify(token, kind=REFRESH, at=at)
        expires_at = at + timedelta(seconds=self._refresh_lifetime)
        _, session = await self._verified(claims, at)
        while session.generation == claims.generation:
            if await self._sessions.rotate(session, at=at, expires_at=expires_at):
                return self._pair(replace(session, generation=session.generation + 1, refreshed_at=at))
            # Another request used the token first, or the session was kept across a change of the password.
            _, session = await self._verified(claims, at)
        await self._sessions.discard(session.user_id, session.id)
        log.warning("refresh_token_reused", account_id=session.user_id, session_id=session.id)
        raise TokenReused

    async def sign_out(self, principal: Principal) -> None:
        """End the session of the request."""
        await self._sessions.discard(principal.id, principal.session.id)

    async def sessions(self, principal: Principal, *, limit: int, start: Position | None) -> Page[Session]:
        """Return a page of the user's own sessions, newest first."""
        return await self._sessions.page(principal.user, at=self._clock(), limit=limit, start=start)

    async def end_session(self, principal: Principal, session_id: str) -> None:
        """End one of the user's own sessions. Raises NotFound."""
        if not is_id(session_id):
            raise NotFound
        await self._sessions.end(principal.user, session_id, at=self._clock())

    async def change_password(self, principal: Principal, *, current_password: str, new_password: str) -> Allowance:
        """Change the user's own password, end their other sessions (R2), and return the attempts that are left.

        Raises WrongPassword, RateLimited, ValidationFailed, Conflict, Overloaded.
        """
        user = principal.user
        async with self._throttle.password_change(principal.session.id) as allowance:
            password_hash = await self._users.password_hash(user.id)
            # A crowd that guesses the account's password does not delay a session, which proves that it is the owner's.
            if not await self._passwords.matches(current_password, password_hash, owner=principal.session.id):
                raise WrongPassword
        await check_password(self._passwords, new_password, email=user.email, name=user.name, field="new_password")
        new_hash = await self._passwords.hash(new_password)
        after = replace(
            user,
            session_epoch=user.session_epoch + 1,
            version=user.version + 1,
            updated_at=self._clock(),
        )
        await self._users.update(user, after, password_hash=new_hash, keep_session=principal.session.id)
        log.info("account_changed", actor_id=user.id, account_id=user.id, fields=["password"])
        return allowance

    async def _verified(self, claims: Claims, at: datetime) -> tuple[User, Session]:
        found = await self._sessions.with_user(claims.user_id, claims.session_id, at=at)
        if found is None:
            raise InvalidToken
        return found

    def _pair(self, session: Session) -> TokenPair:
        claims = Claims(user_id=session.user_id, session_id=session.id, generation=session.generation)
        at = session.refreshed_at
        return TokenPair(
            access_token=self._tokens.sign(claims, kind=ACCESS, at=at, lifetime=self._access_lifetime),
            expires_in=self._access_lifetime,
            refresh_token=self._tokens.sign(claims, kind=REFRESH, at=at, lifetime=self._refresh_lifetime),
            refresh_expires_in=self._refresh_lifetime,
            session_id=session.id,
        )
