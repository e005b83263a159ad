"""Signing in and out (R14)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vitrina.clock import Clock, now
from vitrina.domain.pages import Page, Position
from vitrina.domain.users import Principal, Session, User
from vitrina.errors import Allowance, InvalidCredentials, InvalidToken, NotFound, TokenReused, WrongPassword
from vitrina.ids import is_id, new_id
from vitrina.services.accounts.accounts import check_password
from vitrina.services.accounts.passwords import Passwords
from vitrina.services.accounts.throttle import Throttle
from vitrina.services.accounts.tokens import ACCESS, REFRESH, Claims, Tokens
from vitrina.store.sessions import SessionStore
from vitrina.store.users import UserStore


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """What a sign-in or a refresh gives; lifetimes are in seconds."""

    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    session_id: str


class Authentication:
    """Turns passwords into sessions, and tokens into people."""

    def __init__(
        self,
        users: UserStore,
        sessions: SessionStore,
        *,
        passwords: Passwords,
        tokens: Tokens,
        throttle: Throttle,
        access_lifetime: int,
        refresh_lifetime: int,
        clock: Clock = now,
    ) -> None:
        """Take the stores and services, and the tokens' lifetimes in seconds."""
        self._users = users
        self._sessions = sessions
        self._passwords = passwords
        self._tokens = tokens
        self._throttle = throttle
        self._access_lifetime = access_lifetime
        self._refresh_lifetime = refresh_lifetime
        self._clock = clock

    async def authenticate(self, token: str) -> Principal:
        """Return who sent an access token: 1 call. Raises InvalidToken.

        The account and the session are read at each request, so what ends a session ends it at once.
        """
        at = self._clock()
        user, session = await self._good(self._tokens.verify(token, kind=ACCESS, at=at), at)
        return Principal(user=user, session=session)

    async def sign_in(self, email: str, password: str, *, address: str, user_agent: str) -> tuple[TokenPair, Allowance]:
        """Start a session. Raises InvalidCredentials, which says nothing of what was wrong, and RateLimited."""
        async with self._throttle.sign_in(email, address) as allowance:
            user = await self._users.by_email(email)
            usable = user is not None and user.active
            matches = await self._passwords.matches(password, user.password_hash if user and usable else None)
            if user is None or not matches:
                raise InvalidCredentials
        at = self._clock()
        session = Session(
            id=new_id(),
            user_id=user.id,
            epoch=user.session_epoch,
            generation=1,
            # What is not UTF-8 in a header reaches us as surrogates, which no JSON answer can hold.
            user_agent=user_agent.encode(errors="replace").decode(),
            created_at=at,
            refreshed_at=at,
            expires_at=at + timedelta(seconds=self._refresh_lifetime),
        )
        await self._sessions.create(session)
        return self._pair(session), allowance

    async def refresh(self, token: str) -> TokenPair:
        """Spend a refresh token for a new pair. Raises InvalidToken, and TokenReused for one that was spent before.

        Who brings a spent token may have stolen it, or been robbed of it: the session ends (RFC 9700 section 4.14.2).
        """
        at = self._clock()
        claims = self._tokens.verify(token, kind=REFRESH, at=at)
        expires_at = at + timedelta(seconds=self._refresh_lifetime)
        _, session = await self._good(claims, at)
        while session.generation == claims.generation:
            if await self._sessions.rotate(session, at=at, expires_at=expires_at):
                return self._pair(replace(session, generation=session.generation + 1, refreshed_at=at))
            # Another was faster to spend the token, or the session was carried over a change of the password.
            _, session = await self._good(claims, at)
        await self._sessions.discard(session.user_id, session.id)
        raise TokenReused

    async def sign_out(self, principal: Principal) -> None:
        """End the session that asks."""
        await self._sessions.discard(principal.id, principal.session.id)

    async def sessions(self, principal: Principal, *, limit: int, start: Position | None) -> Page[Session]:
        """Return a page of the sessions of the one who asks, newest first."""
        return await self._sessions.page(principal.user, at=self._clock(), limit=limit, start=start)

    async def end_session(self, principal: Principal, session_id: str) -> None:
        """End a session of the one who asks. Raises NotFound."""
        if not is_id(session_id):
            raise NotFound
        await self._sessions.end(principal.user, session_id, at=self._clock())

    async def change_password(self, principal: Principal, *, current_password: str, new_password: str) -> Allowance:
        """Change one's own password, end one's other sessions (R2), and return the tries that are left.

        Raises WrongPassword, RateLimited, ValidationFailed, Conflict.
        """
        user = principal.user
        async with self._throttle.password_change(principal.session.id) as allowance:
            if not await self._passwords.matches(current_password, user.password_hash):
                raise WrongPassword
        await check_password(self._passwords, new_password, email=user.email, name=user.name, field="new_password")
        after = replace(
            user,
            password_hash=await self._passwords.hash(new_password),
            session_epoch=user.session_epoch + 1,
            version=user.version + 1,
            updated_at=self._clock(),
        )
        await self._users.update(user, after, keep_session=principal.session.id)
        await self._sessions.clear(user.id, keep=principal.session.id)
        return allowance

    async def _good(self, claims: Claims, at: datetime) -> tuple[User, Session]:
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
